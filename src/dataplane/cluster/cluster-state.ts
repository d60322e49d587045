import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { Logger } from '../../platform/logger.js';
import type { KvKeys } from '../kvdb/port.js';
import { parseEntry, type Policies } from '../policy/policy-entry.js';
import { parseNodeFlags, type NodeFlags } from './node-flags.js';
import { parseNodeRecord, type NodeRecord } from './node-record.js';
import { OrderedMap } from './ordered-map.js';
import { parseVolumeRecord } from './volume-repository.js';

/** Everything below the cluster's prefix at one revision. */
export interface ClusterState {
  readonly nodes: ReadonlyMap<string, NodeRecord>;
  readonly alive: ReadonlySet<string>;
  /** By id, in the order of ids. */
  readonly volumes: ReadonlyMap<string, VolumeRecord>;
  /** What the volumes have of each pool, by its id; a pool that none has is not in it. */
  readonly poolUse: ReadonlyMap<string, PoolUse>;
  /** Volume id to the node that has it attached for its own work. */
  readonly maintenance: ReadonlyMap<string, string>;
  /** The storage policies, by name. */
  readonly policies: Policies;
  /** By node id; most nodes have none. */
  readonly flags: ReadonlyMap<string, NodeFlags>;
  /** 0 before anything was read. */
  readonly readAtMs: number;
}

/** What is promised of a pool by the volumes' records. */
export interface PoolUse {
  readonly provisionedBytes: number;
  readonly replicas: number;
}

export const emptyState: ClusterState = {
  nodes: new Map(),
  alive: new Set(),
  volumes: OrderedMap.of<VolumeRecord>([]),
  poolUse: new Map(),
  maintenance: new Map(),
  policies: new Map(),
  flags: new Map(),
  readAtMs: 0,
};

/** Undefined: the key is gone. */
export interface StateChange {
  readonly key: string;
  readonly value: string | undefined;
}

/** A state's successor: it shares what does not change, as thousands of volumes are in it. */
class Draft {
  private readonly copies: { -readonly [Part in keyof ClusterState]?: ClusterState[Part] } = {};
  private readonly volumes = new Map<string, VolumeRecord | undefined>();

  constructor(
    private readonly before: ClusterState,
    private readonly logger: Logger,
  ) {}

  alive(id: string, value: string | undefined): void {
    const copy = new Set(this.copies.alive ?? this.before.alive);
    if (value === undefined) copy.delete(id);
    else copy.add(id);
    this.copies.alive = copy;
  }

  node(id: string, value: string | undefined): void {
    const record = value === undefined ? undefined : parseNodeRecord(value);
    if (record !== undefined) this.map('nodes').set(record.id, record);
    else if (value === undefined) this.map('nodes').delete(id);
  }

  /** One damaged record must not hide the others. */
  volume(id: string, value: string | undefined): void {
    const parse = (text: string) => parseVolumeRecord(text, id);
    this.volumes.set(id, this.parsed('a volume record', id, value, parse));
  }

  policy(name: string, value: string | undefined): void {
    const entry = this.parsed('a storage policy', name, value, (text) => parseEntry(name, text));
    if (entry === undefined) this.map('policies').delete(name);
    else this.map('policies').set(name, entry);
  }

  maintenance(id: string, value: string | undefined): void {
    if (value === undefined) this.map('maintenance').delete(id);
    else this.map('maintenance').set(id, value);
  }

  flags(id: string, value: string | undefined): void {
    if (value === undefined) this.map('flags').delete(id);
    else this.map('flags').set(id, parseNodeFlags(value));
  }

  done(readAtMs: number): ClusterState {
    const after = { ...this.before, ...this.copies, readAtMs };
    if (this.volumes.size === 0) return after;
    const { volumes, poolUse } = this.before;
    return {
      ...after,
      volumes: OrderedMap.of(volumes).with(this.volumes),
      poolUse: changedUse(poolUse, volumes, this.volumes),
    };
  }

  private map<Part extends MapPart>(part: Part): CopyOf<Part> {
    const copies = this.copies as Partial<Record<MapPart, unknown>>;
    copies[part] ??= new Map(this.before[part] as ReadonlyMap<string, unknown>);
    return copies[part] as CopyOf<Part>;
  }

  private parsed<T>(
    what: string,
    id: string,
    value: string | undefined,
    parse: (text: string) => T,
  ): T | undefined {
    if (value === undefined) return undefined;
    try {
      return parse(value);
    } catch (error) {
      this.logger.error(`${what} in the kvdb is damaged`, { id, error });
      return undefined;
    }
  }
}

/** What the pools hold when these volumes are what they are now: no other volume is looked at. */
export function changedUse(
  before: ReadonlyMap<string, PoolUse>,
  volumes: ReadonlyMap<string, VolumeRecord>,
  changes: ReadonlyMap<string, VolumeRecord | undefined>,
): ReadonlyMap<string, PoolUse> {
  const use = new Map(before);
  const add = (record: VolumeRecord | undefined, sign: 1 | -1): void => {
    for (const { poolId } of record?.replicas ?? []) {
      const { provisionedBytes, replicas } = use.get(poolId) ?? noUse;
      const left = replicas + sign;
      if (left === 0) use.delete(poolId);
      else {
        const bytes = provisionedBytes + sign * (record?.sizeBytes ?? 0);
        use.set(poolId, { provisionedBytes: bytes, replicas: left });
      }
    }
  };
  for (const [id, record] of changes) {
    add(volumes.get(id), -1);
    add(record, 1);
  }
  return use;
}

export const noUse: PoolUse = { provisionedBytes: 0, replicas: 0 };

type MapPart = Exclude<keyof ClusterState, 'alive' | 'readAtMs' | 'volumes' | 'poolUse'>;
type CopyOf<Part extends MapPart> =
  ClusterState[Part] extends ReadonlyMap<string, infer Value> ? Map<string, Value> : never;

/** The state with these changes in it; `before` stays as it is. */
export function changedState(
  before: ClusterState,
  changes: readonly StateChange[],
  context: { readonly keys: KvKeys; readonly logger: Logger; readonly readAtMs: number },
): ClusterState {
  const { keys } = context;
  const draft = new Draft(before, context.logger);
  for (const { key, value } of changes) {
    if (key.startsWith(keys.alive)) draft.alive(key.slice(keys.alive.length), value);
    else if (key.startsWith(keys.maintenance)) {
      draft.maintenance(key.slice(keys.maintenance.length), value);
    } else if (key.startsWith(keys.nodes)) draft.node(key.slice(keys.nodes.length), value);
    else if (key.startsWith(keys.volumes)) draft.volume(key.slice(keys.volumes.length), value);
    else if (key.startsWith(keys.policies)) draft.policy(key.slice(keys.policies.length), value);
    else if (key.startsWith(keys.nodeFlags)) draft.flags(key.slice(keys.nodeFlags.length), value);
  }
  return draft.done(context.readAtMs);
}
