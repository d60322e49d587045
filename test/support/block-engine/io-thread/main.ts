import { parentPort, workerData } from 'node:worker_threads';
import { FuseFrontend } from '../../../../src/dataplane/frontend/fuse/fuse-frontend.js';
import type { NbdExport } from '../../../../src/dataplane/frontend/nbd/nbd-export.js';
import { NbdServer } from '../../../../src/dataplane/frontend/nbd/nbd-server.js';
import { UnansweredRequests } from '../../../../src/dataplane/frontend/fuse/unanswered.js';
import type { Frontend } from '../../../../src/dataplane/io/ports.js';
import { EpollIoLoop } from '../../../../src/dataplane/io/io-loop.js';
import { NativeSlotTable } from '../../../../src/dataplane/io/slot-table.js';
import { closeFile } from '../../../../src/dataplane/sys/files.js';
import { mapFile } from '../../../../src/dataplane/sys/memory.js';
import { listenTcp, listenUnix } from '../../../../src/dataplane/sys/sockets.js';
import { FileTarget } from '../file-target.js';
import type { FromIoThread, ToIoThread } from '../messages.js';

/** The test engine's only I/O thread. */
const port = parentPort;
if (port === null) throw new Error('this is a worker');
const { memoryFd } = workerData as { memoryFd: number };
const capacity = 256;
const slots =
  memoryFd === -1
    ? new NativeSlotTable(capacity)
    : new NativeSlotTable(capacity, mapFile(memoryFd, NativeSlotTable.bytesFor(capacity)));
const unanswered = memoryFd === -1 ? undefined : new UnansweredRequests(slots);
const loop = new EpollIoLoop(slots);
const targets = new Map<string, FileTarget>();
const frontends = new Map<string, FuseFrontend>();
const send = (message: FromIoThread): void => port.postMessage(message);

function serve(message: Extract<ToIoThread, { type: 'serve' }>): void {
  const { volumeId, fd, settings } = message;
  const target = new FileTarget(settings.image, slots);
  const frontend = new FuseFrontend({
    loop,
    slots,
    fd,
    target,
    mountToken: message.mountToken,
    ...(unanswered === undefined ? {} : { unanswered }),
    options: { volumeId, ...settings },
    onGone: () => {
      closeFile(fd);
      frontends.delete(volumeId);
    },
  });
  target.frontend = frontend;
  loop.everyTurn(target);
  targets.set(volumeId, target);
  frontends.set(volumeId, frontend);
  frontend.start();
}

function serveNbd(message: Extract<ToIoThread, { type: 'serveNbd' }>): void {
  const connected = new Map<Frontend, FileTarget>();
  const exports = new Map<string, NbdExport>();
  for (const [volumeId, settings] of Object.entries(message.volumes)) {
    const counts = new FileTarget(settings.image, slots);
    targets.set(volumeId, counts);
    exports.set(volumeId, {
      volumeId,
      ...settings,
      connect: (frontend) => {
        const target = new FileTarget(settings.image, slots, counts.counts);
        target.frontend = frontend;
        loop.everyTurn(target);
        connected.set(frontend, target);
        return target;
      },
      disconnect: (frontend) => {
        const target = connected.get(frontend);
        connected.delete(frontend);
        if (target !== undefined) loop.removeTurn(target);
      },
    });
  }
  const listener = message.socket.startsWith('/')
    ? listenUnix(message.socket)
    : listenTcp({ host: '127.0.0.1', port: Number(message.socket) });
  const find = (name: string): NbdExport | undefined =>
    name === '' ? exports.values().next().value : exports.get(name);
  const names = (): string[] => [...exports.keys()];
  new NbdServer({ loop, slots, listener, exports: { find, names } });
}

loop.onMessage(port, (received) => {
  const message = received as ToIoThread;
  switch (message.type) {
    case 'serve':
      serve(message);
      return send({ id: message.id, result: {} });
    case 'resize':
      frontends.get(message.volumeId)?.resize(message.sizeBytes);
      return send({ id: message.id, result: {} });
    case 'counts':
      return send({ id: message.id, result: targets.get(message.volumeId)?.counts });
    case 'serveNbd':
      serveNbd(message);
      return send({ id: message.id, result: {} });
  }
});
send({ id: 0, wakeFd: loop.wakeFd });
loop.run();
