import type { DescriptorHandler, LoopTimer } from '../io/ports.js';
import type { Hello } from '../protocol/messages.js';
import { EpollEvent } from '../sys/epoll.js';
import { closeFile } from '../sys/files.js';
import { accept } from '../sys/sockets.js';
import { decodeHello } from '../wire/bodies.js';
import { SlotAnswer } from '../wire/frame-reader.js';
import { FrameType, type FrameHeader } from '../wire/frame.js';
import { FrameConnection, type ConnectionDeps, type ConnectionOwner } from './frame-connection.js';

export interface DataListenerDeps extends ConnectionDeps {
  /** The connection's first frame is a HELLO: it goes to the thread of that volume. */
  handOver(fd: number, hello: Hello): void;
}

/** Strangers can hold no more than this many connections open without a word. */
const maxWaiting = 64;
const helloTimeoutMs = 5000;

/** Listens on the data port and reads each connection's HELLO. Runs on one I/O thread. */
export class DataListener implements DescriptorHandler, LoopTimer {
  private readonly waiting = new Set<Newcomer>();
  private readonly idle: Newcomer[] = [];

  constructor(
    private readonly deps: DataListenerDeps,
    private readonly listener: number,
  ) {
    deps.loop.watch(listener, EpollEvent.IN, this);
    deps.loop.addTimer(this);
  }

  onEvents(): void {
    for (;;) {
      const fd = accept(this.listener);
      if (fd < 0) return;
      if (this.waiting.size >= maxWaiting) {
        closeFile(fd);
        continue;
      }
      const newcomer = this.idle.pop() ?? new Newcomer(this.deps, this);
      this.waiting.add(newcomer);
      newcomer.open(fd, this.deps.loop.now() + helloTimeoutMs);
    }
  }

  nextDeadline(): number {
    let next = Infinity;
    for (const newcomer of this.waiting) next = Math.min(next, newcomer.deadline);
    return next;
  }

  tick(now: number): void {
    for (const newcomer of this.waiting) {
      if (newcomer.deadline <= now) newcomer.giveUp();
    }
  }

  done(newcomer: Newcomer): void {
    this.waiting.delete(newcomer);
    this.idle.push(newcomer);
  }

  close(): void {
    this.deps.loop.unwatch(this.listener);
    this.deps.loop.removeTimer(this);
    closeFile(this.listener);
    for (const newcomer of this.waiting) newcomer.giveUp();
  }
}

/** A connection that has not said yet whom it wants. */
class Newcomer implements ConnectionOwner {
  deadline = Infinity;
  private readonly connection: FrameConnection;
  private hello: Hello | undefined;

  constructor(
    private readonly deps: DataListenerDeps,
    private readonly listener: DataListener,
  ) {
    this.connection = new FrameConnection(deps, this);
  }

  open(fd: number, deadline: number): void {
    this.deadline = deadline;
    this.hello = undefined;
    this.connection.open(fd, false);
  }

  giveUp(): void {
    this.connection.close();
    this.listener.done(this);
  }

  onConnected(): void {
    // Only a connection that was begun here tells this.
  }

  onClosed(): void {
    this.listener.done(this);
  }

  onPayloadSent(): void {
    // Nothing is sent here.
  }

  slotFor(header: FrameHeader): number {
    const first = header.type === FrameType.hello && this.hello === undefined;
    return first ? SlotAnswer.body : SlotAnswer.refuse;
  }

  payload(): Uint8Array {
    return new Uint8Array(0);
  }

  onFrame(_header: FrameHeader, _slot: number, body: Uint8Array): string {
    const hello = decodeHello(body);
    if (hello === null) return 'a hello that is none';
    this.hello = hello;
    // After this call has returned, when it is known whether anything followed.
    this.deps.outbox.defer(() => {
      if (!this.connection.isOpen || this.hello !== hello) return;
      if (!this.connection.isQuiet) {
        this.giveUp();
        return;
      }
      const fd = this.connection.release();
      this.listener.done(this);
      this.deps.handOver(fd, hello);
    });
    return '';
  }
}
