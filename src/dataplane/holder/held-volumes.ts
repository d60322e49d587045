import { randomInt } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { PxError } from '../../kernel/errors.js';
import { closeFile } from '../sys/files.js';
import { errnoName } from '../sys/libc.js';
import { pidfdGetFd, pidfdOpen } from '../sys/process.js';
import type { Logger } from '../../platform/logger.js';
import type { RunCommand } from '../../platform/run-command.js';
import {
  attachLoopDevice,
  detachLoopDevice,
  findLoopDevice,
  listLoopDevices,
  loopDeviceUser,
  resizeLoopDevice,
  type LoopDevice,
} from '../frontend/loop-device.js';
import { cleanUpRunDir } from './clean-up.js';
import * as fuse from './fuse-mounts.js';
import type { AttachDevice, HeldVolume, JsonObject } from './holder-api.js';
import type { HolderState } from './holder-state.js';

const detachTimeoutMs = 5_000;

interface Held {
  readonly fd: number;
  readonly path: string;
  readonly mountToken: number;
  settings: JsonObject;
  /** The sequence of its loop device; undefined while it has none. */
  device: string | undefined;
}

/**
 * The volumes whose /dev/fuse descriptors this process holds. Not locked:
 * the caller lets only one operation on a volume run at a time.
 */
export class HeldVolumesTable {
  private readonly held = new Map<string, Held>();
  private readonly runDir: string;
  private readonly run: RunCommand;
  private readonly logger: Logger;

  constructor(runDir: string, run: RunCommand, logger: Logger) {
    this.runDir = runDir;
    this.run = run;
    this.logger = logger;
  }

  get size(): number {
    return this.held.size;
  }

  settings(): Record<string, JsonObject> {
    return Object.fromEntries([...this.held].map(([id, { settings }]) => [id, settings]));
  }

  mountTokens(): Record<string, number> {
    return Object.fromEntries([...this.held].map(([id, { mountToken }]) => [id, mountToken]));
  }

  /** The loop devices by volume. */
  devices(): Record<string, string> {
    return Object.fromEntries(
      [...this.held].flatMap(([id, { device }]) => (device === undefined ? [] : [[id, device]])),
    );
  }

  list(): HeldVolume[] {
    const all = listLoopDevices();
    return [...this.held].map(([volumeId, held]) => {
      const device = all.find(
        ({ backingFile, sequence }) => backingFile === held.path && sequence === held.device,
      );
      return shown(volumeId, held, device?.path ?? '');
    });
  }

  async hold(volumeId: string, settings: JsonObject): Promise<HeldVolume> {
    fuse.assertVolumeId(volumeId);
    const present = this.held.get(volumeId);
    if (present !== undefined) {
      present.settings = settings;
      return this.describe(volumeId, present);
    }
    const path = fuse.fusePath(this.runDir, volumeId);
    const stale = (await fuse.listFuseMounts(this.runDir)).some((mount) => mount.path === path);
    if (stale) throw new PxError('internal', `${path} is mounted, and nobody holds it`);
    const fd = await fuse.mountFuseFile(path, volumeId);
    const held = { fd, path, settings, mountToken: randomInt(2 ** 47), device: undefined };
    this.held.set(volumeId, held);
    return this.describe(volumeId, held);
  }

  async release(volumeId: string, force: boolean): Promise<void> {
    fuse.assertVolumeId(volumeId);
    const held = this.held.get(volumeId);
    if (held === undefined) return;
    const device = deviceOf(held);
    if (device !== undefined && !force) {
      throw new PxError('failed_precondition', `${device.path} still serves volume ${volumeId}`);
    }
    if (device !== undefined) {
      // Whatever waits must fail first, or the detach would wait with it.
      fuse.abortFuseFile(held.path);
      await this.run('losetup', ['--detach', device.path], {
        timeoutMs: 20_000,
        okExitCodes: [0, 1],
      });
    }
    await fuse.unmountFuseFile(held.path);
    closeFile(held.fd);
    this.held.delete(volumeId);
  }

  async attachDevice(request: AttachDevice): Promise<string> {
    const held = this.mustHold(request.volumeId);
    const options = { ...request, backingFile: held.path };
    const device = await attachLoopDevice(this.run, options, deviceOf(held));
    held.device = device.sequence;
    return device.path;
  }

  async detachDevice(volumeId: string, force: boolean): Promise<void> {
    const held = this.held.get(volumeId);
    if (held === undefined) return;
    const device = deviceOf(held);
    if (device === undefined) return;
    const user = force ? undefined : await loopDeviceUser(device);
    if (user !== undefined) {
      throw new PxError('failed_precondition', `volume ${volumeId}: ${device.path} is ${user}`);
    }
    if (force) fuse.abortFuseFile(held.path);
    await detachLoopDevice(this.run, device, detachTimeoutMs);
  }

  async resizeDevice(volumeId: string, sizeBytes: number): Promise<void> {
    const held = this.mustHold(volumeId);
    await fuse.growFuseFile(held.path, sizeBytes);
    const device = deviceOf(held);
    if (device !== undefined && device.sizeBytes !== sizeBytes) {
      await resizeLoopDevice(this.run, device, sizeBytes);
    }
  }

  /**
   * Gets the descriptors back from an engine that outlived the holder before
   * this one, and takes down whatever cannot be got back.
   */
  async recover(state: HolderState, enginePid: number | undefined): Promise<void> {
    if (enginePid !== undefined) {
      const pidfd = pidfdOpen(enginePid);
      for (const mount of await fuse.listFuseMounts(this.runDir)) {
        const fd = pidfd < 0 ? pidfd : recoverDescriptor(pidfd, enginePid, mount, state);
        if (fd < 0) {
          const why = errnoName(fd);
          this.logger.error('a volume cannot be taken over', { volumeId: mount.volumeId, why });
          continue;
        }
        const settings = state.settings[mount.volumeId] ?? {};
        const mountToken = state.mountTokens[mount.volumeId] ?? 0;
        // One that was attached in the last moment of the holder before is not in its state.
        const device = state.devices[mount.volumeId] ?? findLoopDevice(mount.path)?.sequence;
        this.held.set(mount.volumeId, { fd, path: mount.path, settings, mountToken, device });
      }
      if (pidfd >= 0) closeFile(pidfd);
    }
    await cleanUpRunDir(this.runDir, new Set(this.held.keys()), this.run, this.logger);
  }

  private mustHold(volumeId: string): Held {
    const held = this.held.get(volumeId);
    if (held === undefined) throw new PxError('not_found', `volume ${volumeId} is not held`);
    return held;
  }

  private describe(volumeId: string, held: Held): HeldVolume {
    return shown(volumeId, held, deviceOf(held)?.path ?? '');
  }
}

function shown(volumeId: string, held: Held, devicePath: string): HeldVolume {
  const { fd, mountToken, path, settings } = held;
  return { volumeId, fd, mountToken, path, devicePath, settings };
}

/** What the kernel has of the device that was attached here. */
function deviceOf({ path, device }: Held): LoopDevice | undefined {
  return device === undefined ? undefined : findLoopDevice(path, device);
}

/** A duplicate of the engine's own duplicate, if it truly is one of this mount's connection. */
function recoverDescriptor(
  pidfd: number,
  enginePid: number,
  mount: fuse.FuseMount,
  state: HolderState,
): number {
  const theirs = state.adopted[mount.volumeId];
  if (theirs === undefined) return -2;
  try {
    if (readlinkSync(`/proc/${enginePid}/fd/${theirs}`) !== '/dev/fuse') return -9;
    const connection = fuse.connectionOf(enginePid, theirs);
    if (connection !== undefined && connection !== mount.connection) return -9;
  } catch {
    return -9;
  }
  return pidfdGetFd(pidfd, theirs);
}
