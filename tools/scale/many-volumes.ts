import { randomUUID } from 'node:crypto';
import { createEtcdKvdb } from '../../src/dataplane/kvdb/etcd-kvdb.js';
import { KvKeys, type KvChange, type Kvdb } from '../../src/dataplane/kvdb/port.js';
import type { VolumeRecord } from '../../src/kernel/volume-record.js';
import type { DevCluster } from '../devcluster/cluster.js';
import { capability } from '../lib/kubernetes.js';
import { waitFor } from '../lib/wait.js';

/** A volume is two keys, and etcd takes 128 changes a transaction. */
const perTransaction = 50;
const spec = { size_bytes: String(2 ** 30), replicas: 3, fs: 'ext4' };

/**
 * Volumes that are in etcd as records only: their replicas lie on a node that is
 * not there. The controller can't tell, and a thousand take no second to make.
 */
export class ManyVolumes {
  private readonly keys: KvKeys;
  private readonly kvdb: Kvdb;
  private present: readonly VolumeRecord[] = [];

  constructor(private readonly cluster: DevCluster) {
    this.keys = new KvKeys(cluster.layout.clusterId);
    this.kvdb = createEtcdKvdb({ endpoints: [cluster.layout.etcdUrl], callTimeoutMs: 10_000 });
  }

  close(): void {
    this.kvdb.close();
  }

  /** Puts so many, and waits until every node has them; answers their ids. */
  async put(count: number): Promise<readonly string[]> {
    const template = await this.template();
    const records = Array.from({ length: count }, () => copyOf(template));
    await this.change(records, (record) => [
      { type: 'put', key: this.keys.volume(record.id), value: JSON.stringify(record) },
      { type: 'put', key: this.keys.volumeName(record.name), value: record.id },
    ]);
    this.present = [...this.present, ...records];
    await this.waitSeen();
    return records.map(({ id }) => id);
  }

  async removeAll(): Promise<void> {
    await this.change(this.present, (record) => [
      { type: 'delete', key: this.keys.volume(record.id) },
      { type: 'delete', key: this.keys.volumeName(record.name) },
    ]);
    this.present = [];
    await this.waitSeen();
  }

  private async change(
    records: readonly VolumeRecord[],
    changesOf: (record: VolumeRecord) => readonly KvChange[],
  ): Promise<void> {
    for (let from = 0; from < records.length; from += perTransaction) {
      const changes = records.slice(from, from + perTransaction).flatMap(changesOf);
      const { outcome } = await this.kvdb.txn([], changes);
      if (outcome !== 'ok') throw new Error(`etcd did not take the volumes: ${outcome}`);
    }
  }

  private async waitSeen(): Promise<void> {
    for (const { name } of this.cluster.nodeLayouts) {
      await waitFor(`the volumes of etcd on ${name}`, 30_000, async () => {
        const { volumes } = await this.cluster.api(name).ListVolumes({});
        const { keys } = await this.kvdb.listKeys(this.keys.volumes);
        return volumes.length === keys.length ? true : undefined;
      });
    }
  }

  /** The record of a volume that px made itself, so that the copies are what it writes. */
  private async template(): Promise<string> {
    const api = this.cluster.api('n1');
    const { id } = await api.CreateVolume({ name: `pattern-${randomUUID()}`, spec });
    const stored = await this.kvdb.get(this.keys.volume(id));
    if (stored === undefined) throw new Error('the volume has no record');
    await api.DeleteVolume({ id_or_name: id });
    return stored.value;
  }
}

function copyOf(template: string): VolumeRecord {
  const record = JSON.parse(template) as VolumeRecord;
  const replicas = record.replicas.map((replica) => ({
    ...replica,
    id: randomUUID(),
    nodeId: '00000000-0000-4000-8000-000000000000',
    poolId: '00000000-0000-4000-8000-000000000001',
  }));
  const id = randomUUID();
  return { ...record, id, name: `scale-${id}`, replicas };
}

export async function createVolume(cluster: DevCluster, name: string): Promise<string> {
  const { volume } = await cluster.csi('n1').controller.CreateVolume({
    name,
    capacity_range: { required_bytes: spec.size_bytes },
    volume_capabilities: [capability('ext4')],
    parameters: { repl: '2' },
  });
  if (volume === null || volume === undefined) throw new Error(`${name} was not made`);
  return volume.volume_id;
}

/** How long so many calls of CreateVolume took, one after the other. */
export async function timeCreations(cluster: DevCluster, count: number): Promise<number[]> {
  const prefix = `timed-${randomUUID()}`;
  const times: number[] = [];
  const made: string[] = [];
  for (let index = 0; index < count; index++) {
    const started = performance.now();
    made.push(await createVolume(cluster, `${prefix}-${index}`));
    times.push(performance.now() - started);
  }
  for (const volume_id of made) await cluster.csi('n1').controller.DeleteVolume({ volume_id });
  return times;
}

export interface Comparison {
  readonly without: readonly number[];
  readonly among: readonly number[];
}

/**
 * Times creations without other volumes and among many, in turns, so that what
 * else the machine does meanwhile is in both.
 */
export async function compareCreations(
  cluster: DevCluster,
  options: { readonly volumes: number; readonly calls: number; readonly turns: number },
): Promise<Comparison> {
  const without: number[] = [];
  const among: number[] = [];
  const callsEach = Math.ceil(options.calls / options.turns);
  const many = new ManyVolumes(cluster);
  try {
    for (let turn = 0; turn < options.turns; turn++) {
      await timeCreations(cluster, 20);
      without.push(...(await timeCreations(cluster, callsEach)));
      await many.put(options.volumes);
      await timeCreations(cluster, 20);
      among.push(...(await timeCreations(cluster, callsEach)));
      await many.removeAll();
    }
  } finally {
    many.close();
  }
  return { without, among };
}

export interface Listed {
  readonly volumeId: string;
  readonly publishedOn: readonly string[];
}

/** Every entry of one page-through; `between` runs before each page but the first. */
export async function pageThrough(
  cluster: DevCluster,
  maxEntries: number,
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<readonly Listed[]> {
  const listed: Listed[] = [];
  let token = '';
  do {
    if (token !== '') await between();
    const page = await cluster
      .csi('n1')
      .controller.ListVolumes({ max_entries: maxEntries, starting_token: token });
    for (const { volume, status } of page.entries) {
      listed.push({
        volumeId: volume?.volume_id ?? '',
        publishedOn: status?.published_node_ids ?? [],
      });
    }
    token = page.next_token;
  } while (token !== '');
  return listed;
}
