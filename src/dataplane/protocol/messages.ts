/** What a coordinator says to a replica, apart from reads, writes, zeroes and flushes. */
export interface Hello {
  readonly clusterId: string;
  readonly volumeId: string;
  readonly replicaId: string;
  readonly epoch: number;
  /** The coordinator's own name within the epoch: a stranger with the same epoch is refused. */
  readonly token: string;
  readonly leaseMs: number;
  /**
   * The coordinator knows that the process which held the previous epoch is
   * gone (its own node's holder reaped it), so its read lease need not be
   * waited out.
   */
  readonly previousOwnerDead: boolean;
}

export type RefusalCode =
  | 'fenced'
  | 'wrong_cluster'
  | 'wrong_volume'
  | 'unknown_replica'
  | 'store_failed'
  /** Said in the peer's place by what carries the connection, such as the TLS relay. */
  | 'unreachable';

export type HelloReply =
  | {
      readonly ok: true;
      /** The machine lost power since the replica was last admitted, with marks set. */
      readonly lossy: boolean;
      /** Never filled: everything must be compared. */
      readonly blank: boolean;
      /** False when the record of operations in flight was lost. */
      readonly ringIntact: boolean;
      /** Ranges of operations that may not be complete everywhere: offset, length, offset, length… */
      readonly ring: readonly number[];
      /** One bit a chunk, bit 0 of byte 0 first. */
      readonly marks: Uint8Array;
      /** How long an older coordinator's read lease may still run. */
      readonly leaseRemainingMs: number;
      readonly sizeBytes: number;
    }
  | {
      readonly ok: false;
      readonly code: RefusalCode;
      readonly message: string;
      readonly epoch: number;
    };

export type ControlMessage =
  | { readonly type: 'heartbeat'; readonly completedSeq: number }
  /** Digests of `hashBlockBytes` blocks of an aligned range of at most `maxHashBytes`. */
  | { readonly type: 'hash'; readonly offset: number; readonly length: number }
  /** These chunks are equal and stable on every replica: forget their marks. */
  | { readonly type: 'clear_marks'; readonly chunks: Uint8Array }
  /**
   * The content is whole as of now: durably forget `lossy` and `blank`, and add
   * these marks to the replica's own, because another replica that is out may
   * miss chunks that this one never had to write.
   */
  | { readonly type: 'admit'; readonly marks: Uint8Array }
  | { readonly type: 'resize'; readonly sizeBytes: number }
  /**
   * Copies this replica's present content (reflink) into the replica
   * `targetReplicaId` of volume `targetVolumeId` on the same pool, replacing
   * what an earlier attempt left there. Durable when answered.
   */
  | {
      readonly type: 'copy_to';
      readonly targetVolumeId: string;
      readonly targetReplicaId: string;
    }
  /** Replaces this replica's content by that of a local replica of another volume. */
  | { readonly type: 'copy_from'; readonly sourceVolumeId: string }
  /** A clean end of the session: the read lease is given back. */
  | { readonly type: 'bye' };

export interface ControlReply {
  readonly status: number;
  /** `hash`: the digests, one after the other. */
  readonly digests?: Uint8Array;
}
