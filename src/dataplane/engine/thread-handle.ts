import { Worker } from 'node:worker_threads';
import { PxError } from '../../kernel/errors.js';
import { signalEventFd } from '../sys/epoll.js';
import type {
  FromThread,
  IoThreadData,
  ThreadMethod,
  ThreadMethods,
  ToThread,
} from './io-thread/messages.js';

export interface ThreadEvents {
  /** What is no answer to a call. */
  onMessage(message: FromThread): void;
  /** The thread ended by itself: its volumes hang, so the process must end. */
  onLost(error: Error): void;
}

interface PendingCall {
  resolve(result: never): void;
  reject(error: PxError): void;
}

/** The main thread's end of an I/O thread. */
export class ThreadHandle {
  private readonly worker: Worker;
  private readonly calls = new Map<number, PendingCall>();
  private readonly whenReady: Promise<void>;
  private ready: () => void = () => undefined;
  private wakeFd = -1;
  private lastCall = 0;
  private stopping = false;

  constructor(
    workerFile: URL,
    data: IoThreadData,
    private readonly events: ThreadEvents,
  ) {
    this.whenReady = new Promise((resolve) => (this.ready = resolve));
    this.worker = new Worker(workerFile, { workerData: data });
    this.worker.on('message', (message: FromThread) => this.onMessage(message));
    this.worker.on('error', (error) => events.onLost(error));
    this.worker.on('exit', (code) => {
      if (!this.stopping) events.onLost(new Error(`an I/O thread ended with ${code}`));
    });
  }

  started(): Promise<void> {
    return this.whenReady;
  }

  send(message: ToThread): void {
    this.worker.postMessage(message);
    // Before it is ready it reads all messages by itself.
    if (this.wakeFd >= 0) signalEventFd(this.wakeFd);
  }

  call<M extends ThreadMethod>(
    method: M,
    params: ThreadMethods[M]['params'],
  ): Promise<ThreadMethods[M]['result']> {
    const id = ++this.lastCall;
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.send({ type: 'call', id, method, params });
    });
  }

  async stop(): Promise<void> {
    this.stopping = true;
    const gone = new Promise((resolve) => this.worker.once('exit', resolve));
    this.send({ type: 'stop' });
    await gone;
  }

  private onMessage(message: FromThread): void {
    switch (message.type) {
      case 'ready':
        this.wakeFd = message.wakeFd;
        signalEventFd(this.wakeFd);
        this.ready();
        return;
      case 'answer':
        this.take(message.id)?.resolve(message.result as never);
        return;
      case 'failure': {
        const { code, message: text, fields } = message.error;
        this.take(message.id)?.reject(new PxError(code, text, fields));
        return;
      }
      default:
        this.events.onMessage(message);
    }
  }

  private take(id: number): PendingCall | undefined {
    const call = this.calls.get(id);
    this.calls.delete(id);
    return call;
  }
}
