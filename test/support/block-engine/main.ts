import { join } from 'node:path';
import { truncateSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { HolderClient } from '../../../src/dataplane/holder/holder-client.js';
import type { FetchedVolume } from '../../../src/dataplane/holder/holder-client.js';
import { serveJsonLines } from '../../../src/platform/json-lines.js';
import { NativeSlotTable } from '../../../src/dataplane/io/slot-table.js';
import { signalEventFd } from '../../../src/dataplane/sys/epoll.js';
import { setIoFlusher } from '../../../src/dataplane/sys/process.js';
import type { FromIoThread, TestVolumeSettings, ToIoThread } from './messages.js';

/** An engine with files instead of replicas: `main.js RUN_DIR [--old-kernel]`. */
const runDir = process.argv[2] ?? '';
const holder = new HolderClient(runDir);
// As on a kernel that does not send unanswered requests again.
const memoryFd =
  process.argv[3] === '--old-kernel'
    ? await holder.openMemory('io-0', NativeSlotTable.bytesFor(256))
    : -1;
const worker = new Worker(new URL('./io-thread/main.js', import.meta.url), {
  workerData: { memoryFd },
});
worker.on('error', (error) => {
  console.error('the I/O thread ended', error);
  process.exit(1);
});
setIoFlusher();

let wakeFd = -1;
let lastId = 0;
const waiting = new Map<number, (result: unknown) => void>();
const ready = new Promise<void>((resolve) => {
  worker.on('message', (message: FromIoThread) => {
    if (message.wakeFd !== undefined) {
      wakeFd = message.wakeFd;
      return resolve();
    }
    waiting.get(message.id)?.(message.result);
    waiting.delete(message.id);
  });
});

type WithoutId<Message> = Message extends { id: number } ? Omit<Message, 'id'> : never;

function ask(message: WithoutId<ToIoThread>): Promise<unknown> {
  const id = ++lastId;
  const answered = new Promise((resolve) => waiting.set(id, resolve));
  worker.postMessage({ ...message, id });
  signalEventFd(wakeFd);
  return answered;
}

function serve(volume: FetchedVolume): Promise<unknown> {
  const settings = volume.settings as unknown as TestVolumeSettings;
  const { volumeId, mountToken, ownFd: fd } = volume;
  return ask({ type: 'serve', volumeId, fd, mountToken, settings });
}

interface Params {
  volumeId: string;
  sizeBytes: number;
  settings: TestVolumeSettings;
  socket: string;
  volumes: Record<string, TestVolumeSettings>;
}

async function handle(method: string, received: unknown): Promise<unknown> {
  const params = received as Params;
  switch (method) {
    case 'attach':
      return serve(await holder.hold(params.volumeId, { ...params.settings }));
    case 'resize': {
      truncateSync(params.settings.image, params.sizeBytes);
      await ask({ type: 'resize', volumeId: params.volumeId, sizeBytes: params.sizeBytes });
      const settings = { ...params.settings, sizeBytes: params.sizeBytes };
      return holder.call('volume.hold', { volumeId: params.volumeId, settings });
    }
    case 'counts':
      return ask({ type: 'counts', volumeId: params.volumeId });
    case 'serveNbd':
      return ask({ type: 'serveNbd', socket: params.socket, volumes: params.volumes });
    default:
      throw new Error(`unknown method ${method}`);
  }
}

await ready;
for (const volume of await holder.fetchAll()) await serve(volume);
await serveJsonLines(join(runDir, 'engine.sock'), handle);
