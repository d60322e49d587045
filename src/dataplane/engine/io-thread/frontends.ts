import { rmSync } from 'node:fs';
import { FuseFrontend } from '../../frontend/fuse/fuse-frontend.js';
import type { NbdExport } from '../../frontend/nbd/nbd-export.js';
import { NbdServer } from '../../frontend/nbd/nbd-server.js';
import { closeFile } from '../../sys/files.js';
import { listenUnix } from '../../sys/sockets.js';
import type { AttachedVolume, OpenFrontend } from './attached-volume.js';
import type { IoThreadContext } from './context.js';

/** Serves the volume through a /dev/fuse descriptor, which is closed with the frontend. */
export function openFuse(
  context: IoThreadContext,
  volume: AttachedVolume,
  { fd, mountToken }: { fd: number; mountToken: number },
): OpenFrontend {
  const { loop, slots, unanswered } = context;
  const target = volume.target();
  const options = volume.frontendOptions();
  const onGone = (): void => {
    context.log('info', 'the FUSE file was unmounted', { volumeId: volume.volumeId });
  };
  const frontend = new FuseFrontend({
    ...{ loop, slots, fd, target, options, mountToken, onGone },
    ...(unanswered === undefined ? {} : { unanswered }),
  });
  target.frontend = frontend;
  let closed = false;
  return {
    kind: 'fuse',
    nbdUri: '',
    start: () => {
      if (!closed) frontend.start();
    },
    close: () => {
      if (closed) return;
      closed = true;
      frontend.close();
      // What is in flight is still answered, or failed, through this descriptor.
      context.whenIdle(frontend, () => closeFile(fd));
    },
    resize: (sizeBytes) => frontend.resize(sizeBytes),
  };
}

/** Serves the volume to NBD clients on a unix socket of its own. */
export function openNbd(
  context: IoThreadContext,
  volume: AttachedVolume,
  socketPath: string,
): OpenFrontend {
  const { loop, slots } = context;
  const { volumeId } = volume;
  // Its name is ours alone: a socket that is there was left by an engine that was killed.
  rmSync(socketPath, { force: true });
  const served: NbdExport = {
    volumeId,
    get sizeBytes() {
      return volume.frontendOptions().sizeBytes;
    },
    blockSizeBytes: volume.frontendOptions().blockSizeBytes,
    readOnly: volume.frontendOptions().readOnly,
    connect: (frontend) => {
      const target = volume.target();
      target.frontend = frontend;
      return target;
    },
    disconnect: () => undefined,
  };
  const exports = {
    find: (name: string) => (name === '' || name === volumeId ? served : undefined),
    names: () => [volumeId],
  };
  const server = new NbdServer({ loop, slots, listener: listenUnix(socketPath), exports });
  return {
    kind: 'nbd',
    nbdUri: `nbd+unix:///${volumeId}?socket=${socketPath}`,
    // Clients may connect at once; what they ask waits until the volume is served.
    start: () => undefined,
    close: () => {
      server.close();
      rmSync(socketPath, { force: true });
    },
    resize: () => undefined,
  };
}
