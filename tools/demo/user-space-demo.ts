import { upCluster, type DevCluster } from '../devcluster/cluster.js';
import { runFio, type FioOptions } from '../lib/fio.js';
import { checkEqual, waitInSync } from '../lib/kubernetes.js';
import { waitFor } from '../lib/wait.js';
import type { Progress } from './progress.js';

const sizeBytes = 256 * 1024 ** 2;

/** What is left without root, FUSE or namespaces: directory pools, loopback, NBD. */
export class UserSpaceDemo {
  private readonly progress: Progress;
  private cluster!: DevCluster;
  private close: () => void = () => undefined;
  private volumeId = '';
  private uri = '';

  constructor(progress: Progress) {
    this.progress = progress;
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
    await progress.step('three nodes on loopback', async () => {
      this.cluster = await upCluster({ dir, rootDir, userSpace: true, frontend: 'nbd' });
      this.close = () => this.cluster.closeClients();
      return (await this.cluster.info()).map((node) => `${node.name} ${node.address}`).join(', ');
    });
    await progress.step('a volume with three replicas', () => this.create());
    await progress.step('written and verified over NBD', async () => {
      await runFio(this.fio());
      return '128 MiB with checksums';
    });
    await progress.step('a replica lost, and back', () => this.loseReplica());
    await progress.step('every byte', async () => {
      await runFio({ ...this.fio(), verify_only: 1 });
      return '128 MiB verified';
    });
    await progress.step('equal replicas', async () => {
      const { bytes } = await checkEqual(this.cluster, 'n1', this.volumeId, 3);
      return `${Math.round(bytes / 1024 ** 2)} MiB compared by hash`;
    });
  }

  private fio(): FioOptions {
    return {
      ioengine: 'nbd',
      uri: this.uri,
      size: sizeBytes / 2,
      rw: 'randwrite',
      bs: '16k',
      iodepth: 16,
      verify: 'crc32c',
      verify_fatal: 1,
      randseed: 42,
    };
  }

  private async create(): Promise<string> {
    const api = this.cluster.api('n1');
    const volume = await api.CreateVolume({
      name: 'demo',
      spec: { size_bytes: String(sizeBytes), replicas: 3, fs: 'none' },
    });
    this.volumeId = volume.id;
    const attached = await api.AttachVolume({ id_or_name: volume.id, frontend: 'nbd' });
    this.uri = attached.nbd_uri;
    return `attached on n1 as ${this.uri}`;
  }

  private async loseReplica(): Promise<string> {
    await this.cluster.killNode('n3');
    await runFio(this.fio());
    await waitFor('replica taken out', 30_000, async () => {
      const volume = await this.cluster.api('n1').GetVolume({ id_or_name: this.volumeId });
      return volume.replicas.some((replica) => replica.state === 'out') ? true : undefined;
    });
    await this.cluster.startNode('n3');
    await waitInSync(this.cluster, 'n1', this.volumeId, 3, 60_000);
    return 'no I/O error, in sync again';
  }
}
