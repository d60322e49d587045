/**
 * What the holder answers on `<runDir>/holder.sock` (JSON lines, see
 * src/platform/json-lines.ts). Every method is idempotent.
 */
export interface HolderMethods {
  'holder.ping': { params: Record<string, never>; result: HolderStatus };
  /** Opens and mounts the volume's FUSE file, or finds it there. */
  'volume.hold': { params: { volumeId: string; settings: JsonObject }; result: HeldVolume };
  /** Unmounts; the loop device must be gone. `force` aborts everything that hangs on it. */
  'volume.release': { params: { volumeId: string; force: boolean }; result: JsonObject };
  'volume.list': { params: Record<string, never>; result: HeldVolumes };
  /**
   * The engine says which of its descriptors are copies of ours: how a new holder gets them. By
   * volume id, and `memory:NAME`.
   */
  'engine.adopted': {
    params: { pid: number; fds: Readonly<Record<string, number>> };
    result: JsonObject;
  };
  /**
   * Memory that outlives the engine: a memory file of that size, made at the first call. For
   * kernels that do not send unanswered FUSE requests again.
   */
  'memory.open': { params: { name: string; sizeBytes: number }; result: { fd: number } };
  /** Ends the engine and starts it again, with another command line if one is given. */
  'engine.restart': { params: { command?: readonly string[] }; result: JsonObject };
  'device.attach': { params: AttachDevice; result: { devicePath: string } };
  'device.detach': { params: { volumeId: string; force: boolean }; result: JsonObject };
  /** The engine must already report the new size through the FUSE file. */
  'device.resize': { params: { volumeId: string; sizeBytes: number }; result: JsonObject };
  /** Ends the engine and the holder; refused while volumes are held, unless forced. */
  'holder.stop': { params: { force: boolean }; result: JsonObject };
}

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The holder outlives the px-node and the engine that speak to it, through
 * upgrades. A number goes up with every change that the other side must know of.
 */
export const holderProtocol = { version: 1, oldestClient: 1, oldestHolder: 1 } as const;

export interface HolderStatus {
  /** What it speaks; absent: 1. */
  readonly protocol?: number;
  /** The oldest that it understands; absent: 1. */
  readonly oldestClient?: number;
  readonly pid: number;
  readonly startedAt: string;
  /** 0 while no engine runs. */
  readonly enginePid: number;
  /** How many engines were started since the holder began. */
  readonly engineStarts: number;
}

export interface HeldVolume {
  readonly volumeId: string;
  /** The number of the /dev/fuse descriptor within the holder. */
  readonly fd: number;
  /** Random; another one each time the volume is mounted. */
  readonly mountToken: number;
  /** The FUSE file. */
  readonly path: string;
  /** '' while there is no loop device. */
  readonly devicePath: string;
  /** Whatever the engine wants to find again after a restart. */
  readonly settings: JsonObject;
}

export interface HeldVolumes {
  readonly holderPid: number;
  /**
   * Every earlier engine of this holder has ended and was reaped: none of them
   * can still acknowledge anything.
   */
  readonly previousEnginesEnded: boolean;
  readonly volumes: readonly HeldVolume[];
}

export interface AttachDevice {
  readonly volumeId: string;
  readonly blockSizeBytes: 512 | 4096;
  readonly readOnly: boolean;
  readonly discard: boolean;
}

export const holderSocketName = 'holder.sock';
export const volumesDirectoryName = 'volumes';
