import type { HelloReply } from './messages.js';
import type { ReplicaPort } from './ports.js';

/**
 * What the coordinator holds a replica to be.
 *
 * - `in_sync`: etcd says so; every write and flush needs it.
 * - `leaving`: to be taken out in etcd; until that is known, nothing that it
 *   missed may be acknowledged.
 * - `joining`: being resynced; gets every new write, but etcd does not count on it.
 * - `adding`: resynced; etcd is asked to count on it, and may already do so.
 * - `out`: misses writes; its chunks are marked.
 */
export type Role = 'in_sync' | 'leaving' | 'joining' | 'adding' | 'out';

export type AcceptedHello = Extract<HelloReply, { ok: true }>;

export class Link {
  /** This replica's bit in the masks of requests. */
  readonly bit: number;
  role: Role;
  state: 'down' | 'opening' | 'up' = 'down';
  /** When the last session ended (or the coordinator began). */
  downSince: number;
  nextOpenAt: number;
  hello: AcceptedHello | undefined;
  /** It lost power with marks set, or was never filled: not to be read or relied on. */
  doubtful = false;
  openedAt = -Infinity;
  /** By our clock, counted from when the heartbeat was sent: earlier than the replica's own end. */
  leaseUntil = -Infinity;
  heartbeatSentAt = -Infinity;
  heartbeatTag = 0;
  roundTripMs = Infinity;
  reason = '';

  constructor(
    readonly index: number,
    readonly replicaId: string,
    readonly nodeId: string,
    readonly local: boolean,
    readonly port: ReplicaPort,
    role: Role,
    now: number,
  ) {
    this.bit = 1 << index;
    this.role = role;
    this.downSince = now;
    this.nextOpenAt = now;
  }

  get up(): boolean {
    return this.state === 'up';
  }

  /** True when etcd counts on this replica, or may: its lease guards our reads. */
  get guardsReads(): boolean {
    return this.role === 'in_sync' || this.role === 'leaving' || this.role === 'adding';
  }

  /** True when new requests must be answered (or excused by etcd) by this replica. */
  get required(): boolean {
    return this.role !== 'out';
  }
}
