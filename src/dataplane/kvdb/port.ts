/**
 * What the data plane needs of a key-value store with revisions (etcd v3).
 *
 * Three facts of etcd shape this port. A transaction whose answer was lost may
 * have gone through, so its outcome has three values. A watch can fall silent,
 * be compacted or skip, so it gives hints only and whoever needs the truth
 * lists again. A lease's end is known to the server first, so a holder must
 * believe its own monotonic deadline and nothing else.
 */
export interface KvEntry {
  readonly key: string;
  readonly value: string;
  /** Revision of the last change of this key; compared by transactions. Never 0 for a key that exists. */
  readonly modRevision: number;
}

export interface KvList {
  readonly entries: readonly KvEntry[];
  /** The store's revision at which the list was true. */
  readonly revision: number;
}

/** What a prefix has become since an earlier revision; deletions show only in the count. */
export interface KvChanges extends KvList {
  /** How many keys there are below the prefix now, changed or not. */
  readonly count: number;
}

/** Holds when the key's modification revision is this; 0 says that the key is absent. */
export interface KvCompare {
  readonly key: string;
  readonly modRevision: number;
}

export type KvChange =
  | {
      readonly type: 'put';
      readonly key: string;
      readonly value: string;
      /** The key ends with this lease. */
      readonly leaseId?: string;
    }
  | { readonly type: 'delete'; readonly key: string };

export type TxnOutcome =
  /** Done; `revision` is the new modification revision of every key that was put. */
  | { readonly outcome: 'ok'; readonly revision: number }
  /** A comparison failed; nothing was changed. */
  | { readonly outcome: 'conflict' }
  /** No answer: it may have gone through, now or in a moment. Read again before deciding. */
  | { readonly outcome: 'unknown'; readonly reason: string };

export interface KvWatch {
  close(): void;
}

/** One key's change, as a watch tells it. */
export interface KvEvent {
  readonly key: string;
  /** Undefined: the key is gone. */
  readonly value: string | undefined;
  readonly modRevision: number;
}

/**
 * Follows a prefix without reading it again. A watch that breaks begins anew:
 * what happened in between is told to nobody.
 */
export interface KvFollower {
  /** From here on each change after this revision is told, in order. */
  begins(revision: number): void;
  /** All changes of one or more revisions; a revision is never told in parts. */
  changed(events: readonly KvEvent[]): void;
}

export interface KvLease {
  readonly id: string;
  /**
   * Milliseconds on the monotonic clock (`process.hrtime`) until which the
   * lease is certainly alive: counted from when the last successful renewal
   * was sent. Past it the holder must act as if its keys were gone.
   */
  aliveUntilMs(): number;
  /** Runs once when a renewal was answered with "no such lease". */
  onGone(callback: () => void): void;
  /** Stops renewing and gives it back if the store answers. */
  revoke(): Promise<void>;
}

export interface KvStatus {
  /** The last exchange with the store succeeded, within the last few seconds. */
  readonly available: boolean;
  readonly reason: string;
  /** Monotonic milliseconds of the last answer, 0 for never. */
  readonly lastAnswerMs: number;
}

/**
 * Every promise settles within the adapter's time bound. `get` and `list`
 * are linearizable and reject with PxError `kvdb_unavailable`.
 */
export interface Kvdb {
  get(key: string): Promise<KvEntry | undefined>;
  /** The store's revision now: whoever knows every change up to it is up to date. Linearizable. */
  revision(): Promise<number>;
  /** Every key that starts with the prefix, in key order. */
  list(prefix: string): Promise<KvList>;
  /** Every key that starts with the prefix, without its value. Linearizable, as `list`. */
  listKeys(
    prefix: string,
  ): Promise<{ readonly keys: readonly string[]; readonly revision: number }>;
  /** Of these keys the ones that were changed after the revision. Linearizable, as `list`. */
  listSince(prefix: string, revision: number): Promise<KvChanges>;
  /** Applies all changes if all comparisons hold. Never rejects. */
  txn(compares: readonly KvCompare[], changes: readonly KvChange[]): Promise<TxnOutcome>;
  /** Rejects with `kvdb_unavailable`. */
  grantLease(ttlMs: number): Promise<KvLease>;
  /**
   * Calls `onHint` when something below the prefix may have changed: after
   * each change (with the keys, when they are known), after every reconnection
   * (with no key) and at least every `relistMs`. Never throws; heals by itself.
   * A follower is told the changes themselves, before the hint.
   */
  watch(prefix: string, onHint: (keys: readonly string[]) => void, follower?: KvFollower): KvWatch;
  status(): KvStatus;
  /** Runs whenever `status().available` flips. */
  onStatus(callback: (status: KvStatus) => void): void;
  close(): void;
}

/** The keys of a cluster; the one place that spells them. */
export class KvKeys {
  readonly root: string;

  constructor(clusterId: string) {
    this.root = `pwx/${clusterId}/`;
  }

  get cluster(): string {
    return `${this.root}cluster`;
  }
  get volumes(): string {
    return `${this.root}volumes/`;
  }
  get volumeNames(): string {
    return `${this.root}volume-names/`;
  }
  get nodes(): string {
    return `${this.root}nodes/`;
  }
  get alive(): string {
    return `${this.root}alive/`;
  }
  /** Volumes that a node has attached for its own work: no user is behind it. */
  get maintenance(): string {
    return `${this.root}maintenance/`;
  }
  get policies(): string {
    return `${this.root}policies/`;
  }
  /** Holds the name of the default policy: two can't be put at the same time. */
  get defaultPolicy(): string {
    return `${this.root}default-policy`;
  }
  policy(name: string): string {
    return this.policies + name;
  }
  volume(id: string): string {
    return this.volumes + id;
  }
  volumeName(name: string): string {
    return this.volumeNames + name;
  }
  maintenanceOf(volumeId: string): string {
    return this.maintenance + volumeId;
  }
  /** What others have decided about a node. */
  get nodeFlags(): string {
    return `${this.root}node-flags/`;
  }
  /** Nodes that were decommissioned: they must not come back under their old identity. */
  get removedNodes(): string {
    return `${this.root}removed-nodes/`;
  }
  node(id: string): string {
    return this.nodes + id;
  }
  aliveNode(id: string): string {
    return this.alive + id;
  }
}
