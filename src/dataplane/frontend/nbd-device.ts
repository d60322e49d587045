import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { PxError } from '../../kernel/errors.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import { closeFile } from '../sys/files.js';
import { Errno, SystemCallError } from '../sys/libc.js';
import { loopDeviceUser } from './loop-device.js';
import type { connectNbd } from './nbd/nbd-client.js';
import type { NbdKernel } from './nbd/nbd-kernel.js';
import { TransmissionFlag } from './nbd/nbd-wire.js';

/**
 * The kernel's nbd devices on top of our NBD server, where the module is
 * loaded. Which device serves which volume is what /sys says: each device
 * carries the name of its volume as its backend identifier (Linux 5.14).
 */
export interface NbdDevice {
  readonly index: number;
  readonly path: string;
  readonly volumeId: string;
  readonly readOnly: boolean;
}

export interface NbdDeviceOptions {
  readonly volumeId: string;
  readonly socketPath: string;
  readonly blockSizeBytes: number;
  readonly discard: boolean;
}

export interface NbdDevicesDeps {
  /** Tells the devices of this px-node from those of another one on the machine. */
  readonly runDir: string;
  /** `/sys`. */
  readonly sysDir: string;
  readonly kernel: NbdKernel;
  readonly connect: typeof connectNbd;
}

const handshakeTimeoutMs = 10_000;
const disconnectTimeoutMs = 10_000;
/** The kernel marks the socket of a dead process as dead soon, but not at once. */
const reconnectTimeoutMs = 5_000;
const retryMs = 100;

/** I/O waits for an engine that does not come back, as it does with FUSE. */
const deadConnectionSeconds = 24 * 3600;
/**
 * What was sent on a socket that broke goes out on the new one when the block
 * layer's timer of the request expires; its 30 seconds are a long pause.
 */
const requestTimerMs = 5_000;
/** The kernel asks no NBD server for its limit: one request is at most what a slot holds. */
const maxSectorsKb = 1024;

/** Only looks: loading a module is the decision of whoever runs the machine. */
export function requireNbdModule(sysDir = '/sys'): void {
  if (existsSync(`${sysDir}/module/nbd`) || existsSync(`${sysDir}/block/nbd0`)) return;
  throw new PxError(
    'failed_precondition',
    "the kernel's nbd module is not loaded: modprobe nbd, or use fuse",
  );
}

export class NbdDevices {
  private readonly prefix: string;
  /** Given a socket of this process: what the kernel calls alive is so. */
  private readonly connected = new Set<string>();
  /** Disconnected while somebody had them open: they go away at the last close. */
  private readonly released = new Set<number>();

  constructor(private readonly deps: NbdDevicesDeps) {
    this.prefix = `px:${deps.runDir}:`;
  }

  requireModule(): void {
    requireNbdModule(this.deps.sysDir);
  }

  /** The devices of this px-node's volumes. */
  list(): NbdDevice[] {
    const { sysDir } = this.deps;
    const found: NbdDevice[] = [];
    for (const name of readdirSync(`${sysDir}/block`)) {
      const index = Number(/^nbd(\d+)$/.exec(name)?.[1] ?? -1);
      // The file is there only while the device is connected.
      const backend = index < 0 ? undefined : this.read(name, 'backend');
      if (backend?.startsWith(this.prefix) !== true) continue;
      const volumeId = backend.slice(this.prefix.length);
      found.push({
        index,
        path: `/dev/${name}`,
        volumeId,
        readOnly: this.read(name, 'ro') === '1',
      });
    }
    return found;
  }

  find(volumeId: string): NbdDevice | undefined {
    return this.list().find((device) => device.volumeId === volumeId);
  }

  /** The device of the volume: the one it has, with a socket that works, or a new one. */
  async attach(options: NbdDeviceOptions): Promise<NbdDevice> {
    this.requireModule();
    const { volumeId, socketPath } = options;
    const connection = await this.deps.connect(socketPath, volumeId, handshakeTimeoutMs);
    try {
      const present = this.find(volumeId);
      if (present === undefined) return await this.connectNew(options, connection);
      if (this.isReleased(present.index)) throw stillOpen(present);
      await this.reconnect(present, connection.fd);
      return present;
    } finally {
      // The kernel has its own reference.
      closeFile(connection.fd);
    }
  }

  async resize(volumeId: string, sizeBytes: number): Promise<void> {
    const device = this.find(volumeId);
    if (device === undefined) return;
    await this.deps.kernel.resize(device.index, this.prefix + volumeId, sizeBytes);
  }

  /** Takes the device down; one that is in use is refused, but by force. */
  async detach(volumeId: string, force: boolean): Promise<void> {
    this.connected.delete(volumeId);
    const device = this.find(volumeId);
    if (device === undefined) return;
    if (!force) {
      const user = await loopDeviceUser(device);
      if (user !== undefined) {
        throw new PxError('failed_precondition', `${device.path} is in use: ${user}`);
      }
    }
    // Behind a server that takes nothing the kernel waits to say goodbye. By force nobody
    // waits for that: the server's end of the socket is closed next, which frees the kernel.
    const done = this.deps.kernel.disconnect(device.index);
    if (!(await endsWithin(done, disconnectTimeoutMs))) {
      if (force) return;
      throw new PxError('deadline_exceeded', `${device.path} is not disconnected yet`);
    }
    this.released.add(device.index);
    const deadline = monotonicMs() + (force ? 0 : disconnectTimeoutMs);
    // Nothing announces the last close.
    while (this.find(volumeId) !== undefined) {
      if (monotonicMs() > deadline) {
        if (force) return;
        throw stillOpen(device);
      }
      await delay(retryMs);
    }
  }

  private async connectNew(
    options: NbdDeviceOptions,
    connection: Awaited<ReturnType<typeof connectNbd>>,
  ): Promise<NbdDevice> {
    const { volumeId, blockSizeBytes, discard } = options;
    const { fd, sizeBytes, flags } = connection;
    const index = await this.deps.kernel.connect({
      ...{ fd, sizeBytes, blockSizeBytes, deadConnectionSeconds },
      flags: discard ? flags : flags & ~TransmissionFlag.SEND_TRIM,
      backend: this.prefix + volumeId,
    });
    this.released.delete(index);
    try {
      const device = this.find(volumeId);
      if (device?.index !== index) {
        throw new PxError(
          'failed_precondition',
          "the kernel's nbd does not tell which volume a device serves: " +
            'that takes Linux 5.14, use fuse',
        );
      }
      await this.tune(index);
      this.connected.add(volumeId);
      return device;
    } catch (error) {
      await this.deps.kernel.disconnect(index);
      throw error;
    }
  }

  private async reconnect({ index, volumeId }: NbdDevice, fd: number): Promise<void> {
    const deadline = monotonicMs() + reconnectTimeoutMs;
    for (;;) {
      try {
        await this.deps.kernel.reconnect(index, this.prefix + volumeId, fd);
        this.connected.add(volumeId);
        break;
      } catch (error) {
        const alive = error instanceof SystemCallError && error.errno === Errno.ENOSPC;
        if (alive && this.connected.has(volumeId)) break;
        if (!alive || monotonicMs() > deadline) throw error;
        await delay(retryMs);
      }
    }
    await this.tune(index);
  }

  private async tune(index: number): Promise<void> {
    const queue = `${this.deps.sysDir}/block/nbd${index}/queue`;
    await writeFile(`${queue}/max_sectors_kb`, String(maxSectorsKb));
    await writeFile(`${queue}/io_timeout`, String(requestTimerMs));
  }

  private isReleased(index: number): boolean {
    return this.released.has(index);
  }

  private read(name: string, file: string): string | undefined {
    try {
      return readFileSync(`${this.deps.sysDir}/block/${name}/${file}`, 'utf8').replace(/\n$/, '');
    } catch {
      return undefined;
    }
  }
}

async function endsWithin(work: Promise<void>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  try {
    // The race has its eye on a rejection that comes late, too.
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

function stillOpen(device: NbdDevice): PxError {
  return new PxError(
    'failed_precondition',
    `${device.path} is disconnected and still open; it goes away at its last close`,
  );
}
