import { statfs } from 'node:fs/promises';
import path from 'node:path';
import { upCluster, type DevCluster } from '../devcluster/cluster.js';
import {
  checkRecords,
  RecordWriter,
  type Database,
  type Owner,
  type Session,
} from '../lib/database.js';
import { FioRun, runFio, type FioOptions } from '../lib/fio.js';
import { checkEqual, Kubernetes, waitInSync, type PublishedVolume } from '../lib/kubernetes.js';
import { GiveUp, waitFor } from '../lib/wait.js';
import type { Progress } from './progress.js';

const giB = 1024 ** 3;
/** XFS grows while mounted wherever px runs; ext4 asks for CAP_SYS_RESOURCE to do so. */
const fsType = 'xfs';
/** The bound for coming back on another node. */
const failoverLimitSeconds = 15;
const fileBytes = 128 * 1024 ** 2;

/** Every block carries its own checksum and place, so that a read back proves each byte. */
function verifiedFile(published: PublishedVolume, name: string): FioOptions {
  return {
    filename: path.join(published.targetPath, name),
    size: fileBytes,
    rw: 'randwrite',
    bsrange: '4k-128k',
    ioengine: 'libaio',
    iodepth: 16,
    direct: 1,
    verify: 'crc32c',
    verify_fatal: 1,
    end_fsync: 1,
    randseed: 42,
  };
}

/** The demonstration on real parts, step by step; each step throws if what it shows isn't so. */
export class FullDemo {
  private readonly progress: Progress;
  private readonly database: Database;
  private cluster!: DevCluster;
  private close: () => void = () => undefined;
  private kubernetes!: Kubernetes;
  private volumeId = '';
  private published!: PublishedVolume;
  private session!: Session;
  private writer!: RecordWriter;
  private acknowledged = 0;
  private atSnapshot = 0;
  private snapshotId = '';
  private clone!: PublishedVolume;

  constructor(progress: Progress, database: Database) {
    this.progress = progress;
    this.database = database;
  }

  async run(dir: string, rootDir: string): Promise<void> {
    try {
      await this.steps(dir, rootDir);
    } finally {
      this.close();
    }
  }

  private async steps(dir: string, rootDir: string): Promise<void> {
    const { progress } = this;
    await progress.step('three nodes in three zones', () => this.start(dir, rootDir));
    await progress.step('a volume with three replicas', () => this.create());
    await progress.step('attached and mounted', () => this.mount());
    await progress.step('a database and checksummed files', () => this.load());
    await progress.step('a replica lost: the load goes on', () => this.loseReplica());
    await progress.step('it returns and catches up', () => this.returnReplica());
    await progress.step('the attached node lost', () => this.loseAttached());
    await progress.step('every byte, every commit', () => this.verify());
    await progress.step('three equal replicas again', () => this.equal());
    await progress.step('a snapshot', () => this.snapshot());
    await progress.step('a clone on another node', () => this.mountClone());
    await progress.step('grown while mounted', () => this.grow());
    await progress.step('unmounted and detached', () => this.unmount());
  }

  private async start(dir: string, rootDir: string): Promise<string> {
    this.cluster = await upCluster({ dir, rootDir });
    this.close = () => this.cluster.closeClients();
    this.kubernetes = new Kubernetes(this.cluster, 'n1');
    const nodes = await this.cluster.info();
    return nodes.map((node) => `${node.name} ${node.address} ${node.zone}`).join(', ');
  }

  private async create(): Promise<string> {
    this.volumeId = await this.kubernetes.createVolume({
      name: 'pvc-demo',
      sizeBytes: giB,
      parameters: { repl: '3' },
      fsType,
    });
    const volume = await this.cluster.api('n1').GetVolume({ id_or_name: this.volumeId });
    const zones = new Set(volume.replicas.map((replica) => replica.zone));
    if (zones.size !== 3) throw new Error(`the replicas are in ${zones.size} zones, not in 3`);
    return `1 GiB, one copy in each of ${[...zones].sort().join(', ')}`;
  }

  private async mount(): Promise<string> {
    this.published = await this.kubernetes.mount(this.volumeId, 'n1', fsType);
    const volume = await this.cluster.api('n1').GetVolume({ id_or_name: this.volumeId });
    return `${volume.device_path} on n1, ${fsType}`;
  }

  private owner(node: string): Owner {
    return { tag: this.cluster.layout.tag, node, dir: this.cluster.node(node).dir };
  }

  private async load(): Promise<string> {
    await runFio(verifiedFile(this.published, 'file'));
    this.session = await this.database.open(this.published.targetPath, this.owner('n1'));
    this.writer = new RecordWriter(this.session);
    await this.writer.start();
    await this.commits(200);
    return `${this.database.name} commits on and on; fio wrote and verified 128 MiB`;
  }

  /** Waits until so many more records have been acknowledged. */
  private async commits(count: number): Promise<void> {
    const from = this.writer.acknowledged;
    await waitFor(`${count} commits`, 60_000, () => {
      if (this.writer.failure !== undefined) throw new GiveUp(this.writer.failure.message);
      return this.writer.acknowledged >= from + count ? true : undefined;
    });
  }

  private async loseReplica(): Promise<string> {
    const fio = new FioRun(verifiedFile(this.published, 'during-loss'));
    await this.cluster.killNode('n3');
    await waitFor('replica taken out', 30_000, async () => {
      const volume = await this.cluster.api('n1').GetVolume({ id_or_name: this.volumeId });
      return volume.replicas.some((replica) => replica.state === 'out') ? true : undefined;
    });
    await this.commits(100);
    await fio.done;
    if (this.writer.failure !== undefined) throw this.writer.failure;
    const longest = (this.writer.longestCommitMs / 1000).toFixed(1);
    return `no I/O error; the longest commit waited ${longest} s`;
  }

  private async returnReplica(): Promise<string> {
    await this.cluster.startNode('n3');
    await waitInSync(this.cluster, 'n1', this.volumeId, 3, 60_000, (text) => {
      this.progress.say(text);
    });
    return 'in sync again, under load';
  }

  private async loseAttached(): Promise<string> {
    await this.commits(50);
    await this.cluster.killNode('n1');
    const died = performance.now();
    this.acknowledged = await this.writer.abandoned();
    this.kubernetes.controllerOn = 'n2';
    await this.kubernetes.detach(this.volumeId, 'n1');
    this.published = await this.kubernetes.mount(this.volumeId, 'n2', fsType);
    const seconds = (performance.now() - died) / 1000;
    if (seconds > failoverLimitSeconds) {
      throw new Error(`mounted on n2 after ${seconds.toFixed(1)} s, over ${failoverLimitSeconds}`);
    }
    return `mounted on n2 after ${seconds.toFixed(1)} s`;
  }

  private async verify(): Promise<string> {
    for (const name of ['file', 'during-loss']) {
      await runFio({ ...verifiedFile(this.published, name), verify_only: 1 });
    }
    this.session = await this.database.open(this.published.targetPath, this.owner('n2'));
    const found = await checkRecords(this.session, this.acknowledged);
    return `${this.acknowledged} commits were acknowledged, ${found} are there; 256 MiB verified`;
  }

  private async equal(): Promise<string> {
    await this.cluster.startNode('n1');
    await waitInSync(this.cluster, 'n2', this.volumeId, 3, 60_000, (text) => {
      this.progress.say(text);
    });
    const { bytes } = await checkEqual(this.cluster, 'n2', this.volumeId, 3);
    return `${Math.round(bytes / 1024 ** 2)} MiB of three replicas compared by hash`;
  }

  private async snapshot(): Promise<string> {
    this.atSnapshot = await checkRecords(this.session, this.acknowledged);
    const started = performance.now();
    this.snapshotId = await this.kubernetes.createSnapshot(this.volumeId, 'snap-demo');
    const tookMs = performance.now() - started;
    const next = this.atSnapshot + 1;
    await this.session.execute(`INSERT INTO record VALUES (${next}, 'after the snapshot');`);
    return `taken in ${tookMs.toFixed(0)} ms, with ${this.atSnapshot} records`;
  }

  private async mountClone(): Promise<string> {
    const id = await this.kubernetes.createVolume({
      name: 'pvc-clone',
      sizeBytes: giB,
      parameters: { repl: '3' },
      fsType,
      fromSnapshotId: this.snapshotId,
    });
    this.clone = await this.kubernetes.mount(id, 'n3', fsType);
    await runFio({ ...verifiedFile(this.clone, 'file'), verify_only: 1 });
    const session = await this.database.open(this.clone.targetPath, this.owner('n3'));
    const found = await checkRecords(session, this.atSnapshot);
    await session.close();
    if (found !== this.atSnapshot) {
      throw new Error(`the clone has ${found} records, the snapshot had ${this.atSnapshot}`);
    }
    return `${found} records, exactly those of the snapshot`;
  }

  private async grow(): Promise<string> {
    const sizeOf = async (): Promise<number> => {
      const info = await statfs(this.published.targetPath);
      return info.blocks * info.bsize;
    };
    const before = await sizeOf();
    await this.kubernetes.expand(this.published, 2 * giB, fsType);
    const after = await sizeOf();
    if (after < before + 0.8 * giB) throw new Error(`the file system has ${after} bytes`);
    const text = (bytes: number): string => (bytes / giB).toFixed(2);
    return `the file system went from ${text(before)} to ${text(after)} GiB`;
  }

  private async unmount(): Promise<string> {
    await this.session.close();
    await this.kubernetes.unmount(this.clone);
    const { node } = this.published;
    await this.kubernetes.unmount(this.published);
    const { bytes } = await checkEqual(this.cluster, node, this.volumeId, 3);
    return `replicas equal at the end (${Math.round(bytes / 1024 ** 2)} MiB compared)`;
  }
}
