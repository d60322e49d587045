import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { Logger } from '../../platform/logger.js';
import { monotonicMs } from '../../platform/monotonic.js';
import type { Kvdb, KvKeys, KvWatch } from '../kvdb/port.js';
import { parseEntry, type Policies, type PolicyEntry } from '../policy/policy-entry.js';
import { parseNodeFlags, type NodeFlags } from './node-flags.js';
import { parseNodeRecord, type NodeRecord } from './node-record.js';
import { parseVolumeRecord } from './volume-repository.js';

/** Everything below the cluster's prefix at one revision. */
export interface ClusterState {
  readonly nodes: ReadonlyMap<string, NodeRecord>;
  readonly alive: ReadonlySet<string>;
  /** By id, in the order of ids. */
  readonly volumes: ReadonlyMap<string, VolumeRecord>;
  /** Volume id to the node that has it attached for its own work. */
  readonly maintenance: ReadonlyMap<string, string>;
  /** The storage policies, by name. */
  readonly policies: Policies;
  /** By node id; most nodes have none. */
  readonly flags: ReadonlyMap<string, NodeFlags>;
  /** 0 before anything was read. */
  readonly readAtMs: number;
}

const empty: ClusterState = {
  nodes: new Map(),
  alive: new Set(),
  volumes: new Map(),
  maintenance: new Map(),
  policies: new Map(),
  flags: new Map(),
  readAtMs: 0,
};

/** Hints come in bursts (an attach changes its record several times). */
const settleMs = 100;

/** A store that was put back from a backup can't be told by its revisions alone. */
const fullReadMs = 60_000;

/**
 * A copy of the cluster's state, read again whenever a watch hints at a change.
 * With thousands of volumes a whole read takes a tenth of a second of this
 * process's time, so only what changed is read; a deletion shows in the number
 * of keys, and then the names of all keys are read.
 */
export class ClusterView {
  private state: ClusterState = empty;
  private keysRead: ReadonlySet<string> = new Set();
  private revision = 0;
  private fullReadAtMs = 0;
  private reading: Promise<ClusterState> | undefined;
  private queued: Promise<ClusterState> | undefined;
  private watch: KvWatch | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly listeners: ((state: ClusterState) => void)[] = [];

  constructor(
    private readonly kvdb: Kvdb,
    private readonly keys: KvKeys,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.watch = this.kvdb.watch(this.keys.root, () => this.hint());
  }

  close(): void {
    this.watch?.close();
    clearTimeout(this.timer);
    this.timer = undefined;
    this.watch = undefined;
  }

  /** What was read last; old while the kvdb is away. */
  cached(): ClusterState {
    return this.state;
  }

  /**
   * As of now; rejects with `kvdb_unavailable`. Callers that come while a read
   * is at work share the next one: a read shows what was true when it began.
   */
  fresh(): Promise<ClusterState> {
    this.queued ??= this.readNext();
    return this.queued;
  }

  /** As of now, or what was read last while the kvdb does not answer. */
  async best(): Promise<ClusterState> {
    try {
      return await this.fresh();
    } catch (error) {
      if (this.state.readAtMs === 0) throw error;
      return this.state;
    }
  }

  /** Runs after each read that found something changed. */
  onChange(listener: (state: ClusterState) => void): void {
    this.listeners.push(listener);
  }

  private hint(): void {
    if (this.timer !== undefined || this.watch === undefined) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.fresh().catch((error: unknown) => {
        this.logger.debug('the cluster state could not be read', { error });
      });
    }, settleMs);
    this.timer.unref();
  }

  private async readNext(): Promise<ClusterState> {
    await this.reading?.catch(() => undefined);
    const reading = this.read();
    this.reading = reading;
    this.queued = undefined;
    return reading;
  }

  private async read(): Promise<ClusterState> {
    const before = this.state;
    const whole = this.revision === 0 || monotonicMs() - this.fullReadAtMs > fullReadMs;
    if (whole || !(await this.readChanges())) await this.readAll();
    if (this.state.volumes !== before.volumes || this.state.nodes !== before.nodes) {
      for (const listener of this.listeners) listener(this.state);
    }
    return this.state;
  }

  private async readAll(): Promise<void> {
    const { entries, revision } = await this.kvdb.list(this.keys.root);
    const parsed = this.parse(entries, empty);
    this.keysRead = new Set(entries.map(({ key }) => key));
    this.take(parsed, revision);
    this.fullReadAtMs = parsed.readAtMs;
  }

  /** False when a whole read is needed. */
  private async readChanges(): Promise<boolean> {
    const { entries, revision, count } = await this.kvdb.listSince(this.keys.root, this.revision);
    if (revision < this.revision) return false;
    const added = entries.filter(({ key }) => !this.keysRead.has(key));
    if (this.keysRead.size + added.length !== count) {
      this.take(this.parse(entries, this.state), revision);
      return this.dropDeleted();
    }
    if (entries.length === 0) {
      this.take({ ...this.state, readAtMs: monotonicMs() }, revision);
      return true;
    }
    if (added.length > 0) {
      this.keysRead = new Set([...this.keysRead, ...added.map(({ key }) => key)]);
    }
    this.take(this.parse(entries, this.state), revision);
    return true;
  }

  /** What was put since the names were read is found by the next read of changes. */
  private async dropDeleted(): Promise<boolean> {
    const { keys, revision } = await this.kvdb.listKeys(this.keys.root);
    if (revision < this.revision) return false;
    const there = new Set(keys);
    const kept = <T>(prefix: string, map: ReadonlyMap<string, T>): Map<string, T> =>
      new Map([...map].filter(([id]) => there.has(prefix + id)));
    const { nodes, alive, volumes, maintenance, policies, flags } = this.state;
    this.keysRead = there;
    this.state = {
      nodes: kept(this.keys.nodes, nodes),
      alive: new Set([...alive].filter((id) => there.has(this.keys.alive + id))),
      volumes: kept(this.keys.volumes, volumes),
      maintenance: kept(this.keys.maintenance, maintenance),
      policies: kept(this.keys.policies, policies),
      flags: kept(this.keys.nodeFlags, flags),
      readAtMs: monotonicMs(),
    };
    return true;
  }

  private take(state: ClusterState, revision: number): void {
    this.state = state;
    this.revision = revision;
  }

  /** The state with these entries in it; `before` stays as it is. */
  private parse(
    entries: readonly { key: string; value: string }[],
    before: ClusterState,
  ): ClusterState {
    const nodes = new Map(before.nodes);
    const alive = new Set(before.alive);
    const volumes = new Map(before.volumes);
    const maintenance = new Map(before.maintenance);
    const policies = new Map(before.policies);
    const flags = new Map(before.flags);
    for (const { key, value } of entries) {
      if (key.startsWith(this.keys.alive)) alive.add(key.slice(this.keys.alive.length));
      else if (key.startsWith(this.keys.maintenance)) {
        maintenance.set(key.slice(this.keys.maintenance.length), value);
      } else if (key.startsWith(this.keys.nodes)) {
        const node = parseNodeRecord(value);
        if (node !== undefined) nodes.set(node.id, node);
      } else if (key.startsWith(this.keys.volumes)) this.addVolume(volumes, key, value);
      else if (key.startsWith(this.keys.policies)) this.addPolicy(policies, key, value);
      else if (key.startsWith(this.keys.nodeFlags)) {
        flags.set(key.slice(this.keys.nodeFlags.length), parseNodeFlags(value));
      }
    }
    const grew = volumes.size > before.volumes.size && before.volumes.size > 0;
    return {
      nodes,
      alive,
      volumes: grew ? new Map([...volumes].sort(([a], [b]) => (a < b ? -1 : 1))) : volumes,
      maintenance,
      policies,
      flags,
      readAtMs: monotonicMs(),
    };
  }

  private addVolume(volumes: Map<string, VolumeRecord>, key: string, value: string): void {
    const id = key.slice(this.keys.volumes.length);
    try {
      volumes.set(id, parseVolumeRecord(value, id));
    } catch (error) {
      // One damaged record must not hide the others.
      volumes.delete(id);
      this.logger.error('a volume record is damaged', { id, error });
    }
  }

  private addPolicy(policies: Map<string, PolicyEntry>, key: string, value: string): void {
    const name = key.slice(this.keys.policies.length);
    try {
      policies.set(name, parseEntry(name, value));
    } catch (error) {
      policies.delete(name);
      this.logger.error('a storage policy in the kvdb is damaged', { name, error });
    }
  }
}
