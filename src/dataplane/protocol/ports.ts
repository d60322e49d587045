import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { ControlMessage, ControlReply, Hello, HelloReply } from './messages.js';
import type { RecordChange } from './record-changes.js';

/** Milliseconds on a clock that never goes back and runs while the process is stopped. */
export interface Clock {
  now(): number;
}

/**
 * The coordinator's way to one replica, local or remote. An adapter delivers
 * answers in any order, and none of an earlier session once `open` or `close`
 * was called. It never calls back from within `send` or `control`'s caller
 * unless the answer is already known (a local replica may answer at once).
 */
export interface ReplicaPort {
  /** Starts a session afresh. Ends in `Coordinator.onHello` or `onLinkDown`. */
  open(hello: Hello): void;
  close(): void;
  /** Sends the slot's request. `completedSeq`: every mutation up to it is complete everywhere. */
  send(slot: number, completedSeq: number): void;
  control(tag: number, message: ControlMessage): void;
}

/** What adapters call when a replica answers; `link` is the index given to `LinkFactory`. */
export interface CoordinatorEvents {
  onHello(link: number, reply: HelloReply): void;
  onReply(link: number, slot: number, status: number): void;
  onControlReply(link: number, tag: number, reply: ControlReply): void;
  onLinkDown(link: number, reason: string): void;
  onRecord(outcome: RecordOutcome): void;
}

export interface LinkFactory {
  /** `nodeId` may be this node: then the port is the local one. */
  create(link: number, nodeId: string, replicaId: string): ReplicaPort;
}

/** The answer to a requested change: its effect is in etcd, or never will be. */
export interface RecordOutcome {
  readonly change: RecordChange;
  readonly result: 'done' | 'fenced' | 'refused';
  /** The record as read from or written to etcd; absent when the volume is gone. */
  readonly record?: VolumeRecord;
}

/** What the coordinator asks of its process. */
export interface CoordinatorHost {
  /** Answers a frontend's request. */
  complete(slot: number, status: number): void;
  /**
   * Brings a change into the volume's record by compare-and-set, however long
   * it takes; exactly one `onRecord` follows unless the process ends.
   */
  requestChange(change: RecordChange): void;
  /** Something that `status()` shows has changed. */
  stateChanged(): void;
}

/**
 * One replica's stable storage. Data calls answer at once with a status
 * (positive errno or 0); what waits for a disk answers later through
 * `Replica.onStoreDone(ticket, status)`.
 */
export interface ReplicaStore {
  readonly meta: ReplicaMeta;
  /**
   * The durable dirty marks as of opening; the replica changes them in place.
   * At least one bit a chunk; `saveMeta` with a larger size grows it at once.
   */
  readonly marks: Uint8Array;
  /** Memory that survives the process but not the machine; null when it was lost. */
  readonly scratch: Float64Array;
  readonly scratchIntact: boolean;
  /**
   * True when the machine has restarted since `saveMeta` was last called: only
   * `saveMeta` records the boot, so that the loss is noticed until it is noted.
   */
  readonly powerLost: boolean;

  write(address: number, offset: number, length: number): number;
  read(address: number, offset: number, length: number): number;
  zero(offset: number, length: number): number;
  /**
   * Digests of `hashBlockBytes` blocks (the volume's last may be short), or an
   * errno. An all-zero block, hole or not, has a digest of `digestBytes` zero bytes.
   */
  hash(offset: number, length: number): Uint8Array | number;

  /**
   * Makes every write answered before this call durable, also those of an
   * earlier process: after opening, everything counts as not yet synced.
   */
  sync(ticket: number): void;
  /** Makes the marks, as they are now, durable. */
  saveMarks(ticket: number): void;
  saveMeta(meta: ReplicaMeta, ticket: number): void;
  copyTo(targetVolumeId: string, targetReplicaId: string, ticket: number): void;
  copyFrom(sourceVolumeId: string, ticket: number): void;
}

export interface ReplicaMeta {
  readonly clusterId: string;
  readonly volumeId: string;
  readonly replicaId: string;
  readonly epoch: number;
  readonly token: string;
  readonly sizeBytes: number;
  readonly blank: boolean;
  readonly lossy: boolean;
}

/** What a replica asks of the process it lives in. A session is a connection's number. */
export interface ReplicaHost {
  helloReply(session: number, reply: HelloReply): void;
  /** Answers the request in `slot`; the session then owns (and frees) the slot again. */
  reply(session: number, slot: number, status: number): void;
  controlReply(session: number, tag: number, reply: ControlReply): void;
  /** The session has been superseded and nothing of it is at work any more. */
  dropSession(session: number): void;
}
