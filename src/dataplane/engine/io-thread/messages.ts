import type { ErrorCode, ErrorFields } from '../../../kernel/errors.js';
import type { VolumeRecord } from '../../../kernel/volume-record.js';
import type { Hello } from '../../protocol/messages.js';
import type { RecordOutcome } from '../../protocol/ports.js';
import type { RecordChange } from '../../protocol/record-changes.js';
import type { SyncHandle } from '../../store/sync-shared.js';
import type { SocketAddress } from '../../sys/sockets.js';
import type { AttachedVolumeStatus, EngineMethods, EnginePool, EngineTiming } from '../api.js';

/** What an I/O thread is started with (`workerData`). */
export interface IoThreadData {
  readonly index: number;
  readonly clusterId: string;
  readonly nodeId: string;
  readonly runDir: string;
  readonly bootId: string;
  readonly sync: SyncHandle;
  readonly config: IoThreadConfig;
  /** A listening descriptor, on one thread only. */
  readonly listenerFd?: number;
  /** The TLS relay's socket, when links connect through it. */
  readonly relayPath?: string;
  /** Memory for the slots that an earlier engine used, on kernels that need it. */
  readonly slotMemoryFd?: number;
}

export interface IoThreadConfig {
  readonly pools: readonly EnginePool[];
  readonly timing: EngineTiming;
}

/** From the main thread; each is followed by a signal on the thread's eventfd. */
export type ToThread =
  | { readonly type: 'configure'; readonly config: IoThreadConfig }
  | { readonly type: 'nodes'; readonly addresses: ReadonlyMap<string, SocketAddress> }
  | { readonly type: 'connection'; readonly fd: number; readonly hello: Hello }
  | { readonly type: 'record'; readonly record: VolumeRecord }
  | {
      readonly type: 'outcome';
      readonly volumeId: string;
      readonly token: string;
      readonly outcome: RecordOutcome;
    }
  | {
      readonly type: 'call';
      readonly id: number;
      readonly method: ThreadMethod;
      readonly params: unknown;
    }
  /** Every volume that an earlier engine served has been taken over or given up. */
  | { readonly type: 'adopted' }
  | { readonly type: 'stop' };

export type FromThread =
  | { readonly type: 'ready'; readonly wakeFd: number }
  | { readonly type: 'handover'; readonly fd: number; readonly hello: Hello }
  | {
      readonly type: 'change';
      readonly volumeId: string;
      readonly token: string;
      readonly change: RecordChange;
    }
  | { readonly type: 'answer'; readonly id: number; readonly result: unknown }
  | { readonly type: 'failure'; readonly id: number; readonly error: PlainError }
  /** The volume's phase or replicas have changed. */
  | { readonly type: 'state'; readonly status: AttachedVolumeStatus }
  | {
      readonly type: 'log';
      readonly level: 'info' | 'warn' | 'error';
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };

/** Errors lose their class between threads. */
export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly fields: ErrorFields;
}

interface StartVolume {
  /** As the 'attach' change left it. */
  readonly record: VolumeRecord;
  readonly token: string;
  readonly previousOwnerDead: boolean;
  readonly readOnly: boolean;
}

type Nothing = Readonly<Record<string, never>>;

/** Calls of the main thread, each answered once. */
export interface ThreadMethods {
  'volume.start': { params: StartVolume; result: Nothing };
  /** Serves the FUSE descriptor once the volume is served; it is the thread's from then on. */
  'volume.fuse': {
    params: { volumeId: string; fd: number; mountToken: number };
    result: Nothing;
  };
  /** All I/O of this FUSE file fails: somebody else owns the volume. */
  'volume.refuse': {
    params: { record: VolumeRecord; fd: number; mountToken: number; reason: string };
    result: Nothing;
  };
  'volume.nbd': { params: { volumeId: string; socketPath: string }; result: { uri: string } };
  'volume.closeFrontend': { params: { volumeId: string }; result: Nothing };
  'volume.end': { params: { volumeId: string; force: boolean }; result: Nothing };
  'volume.status': { params: { volumeId: string }; result: AttachedVolumeStatus };
  'volume.copy': EngineMethods['volume.copy'];
  'volume.restore': EngineMethods['volume.restore'];
  'volume.resize': EngineMethods['volume.resize'];
  'volume.check': EngineMethods['volume.check'];
  'replica.fence': EngineMethods['replica.fence'];
  'replica.close': { params: { volumeId: string }; result: Nothing };
  'replica.states': { params: Nothing; result: readonly OpenReplicaState[] };
}

export type ThreadMethod = keyof ThreadMethods;

export interface OpenReplicaState {
  readonly volumeId: string;
  readonly epoch: number;
  readonly sizeBytes: number;
  readonly isLeased: boolean;
  /** '' while the store works. */
  readonly problem: string;
}

/** The one thread of a volume on this node: its coordinator and its replica live there. */
export function threadOfVolume(volumeId: string, threads: number): number {
  // FNV-1a, so that ids that differ in their last characters only are spread as well.
  let hash = 0x811c9dc5;
  for (let index = 0; index < volumeId.length; index++) {
    hash = Math.imul(hash ^ volumeId.charCodeAt(index), 0x01000193);
  }
  return (hash >>> 0) % threads;
}
