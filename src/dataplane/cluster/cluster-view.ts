import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { Logger } from '../../platform/logger.js';
import { monotonicMs } from '../../platform/monotonic.js';
import type { Kvdb, KvKeys, KvWatch } from '../kvdb/port.js';
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
  /** 0 before anything was read. */
  readonly readAtMs: number;
}

const empty: ClusterState = {
  nodes: new Map(),
  alive: new Set(),
  volumes: new Map(),
  maintenance: new Map(),
  readAtMs: 0,
};

/** Hints come in bursts (an attach changes its record several times). */
const settleMs = 100;

/** A copy of the cluster's state, read again whenever a watch hints at a change. */
export class ClusterView {
  private state: ClusterState = empty;
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

  /** As of now; rejects with `kvdb_unavailable`. */
  async fresh(): Promise<ClusterState> {
    const state = this.parse((await this.kvdb.list(this.keys.root)).entries);
    this.state = state;
    for (const listener of this.listeners) listener(state);
    return state;
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

  private parse(entries: readonly { key: string; value: string }[]): ClusterState {
    const nodes = new Map<string, NodeRecord>();
    const alive = new Set<string>();
    const volumes = new Map<string, VolumeRecord>();
    const maintenance = new Map<string, string>();
    for (const { key, value } of entries) {
      if (key.startsWith(this.keys.alive)) alive.add(key.slice(this.keys.alive.length));
      else if (key.startsWith(this.keys.maintenance)) {
        maintenance.set(key.slice(this.keys.maintenance.length), value);
      } else if (key.startsWith(this.keys.nodes)) {
        const node = parseNodeRecord(value);
        if (node !== undefined) nodes.set(node.id, node);
      } else if (key.startsWith(this.keys.volumes)) this.addVolume(volumes, key, value);
    }
    return { nodes, alive, volumes, maintenance, readAtMs: monotonicMs() };
  }

  private addVolume(volumes: Map<string, VolumeRecord>, key: string, value: string): void {
    const id = key.slice(this.keys.volumes.length);
    try {
      volumes.set(id, parseVolumeRecord(value, id));
    } catch (error) {
      // One damaged record must not hide the others.
      this.logger.error('a volume record is damaged', { id, error });
    }
  }
}
