import { mkdtemp, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultOptions, downCluster, upCluster } from '../../tools/devcluster/cluster.js';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import {
  capability,
  checkEqual,
  Kubernetes,
  waitInSync,
  type PublishedVolume,
} from '../../tools/lib/kubernetes.js';
import { sh } from '../support/csi-harness.js';

/** The calls of Kubernetes on three real px-nodes: what csi-sanity does not look at. */
jest.setTimeout(180_000);

const gib = 1024 ** 3;
const failoverMs = 15_000;
let dir: string;
let cluster: DevCluster;
let kubernetes: Kubernetes;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'px-csi-'));
  cluster = await upCluster({ ...defaultOptions, rootDir: process.cwd(), dir });
  kubernetes = new Kubernetes(cluster, 'n1');
});
afterAll(async () => {
  cluster.closeClients();
  await downCluster(dir);
  await rm(dir, { recursive: true, force: true });
});

async function sizeAt(published: PublishedVolume): Promise<number> {
  const { blocks, bsize } = await statfs(published.targetPath);
  return blocks * bsize;
}

/** As Kubernetes does it: the calls are repeated until they succeed. */
async function mountOnceAllowed(id: string, node: string): Promise<PublishedVolume> {
  const until = Date.now() + failoverMs;
  for (;;) {
    try {
      return await kubernetes.mount(id, node, 'xfs');
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

it('keeps data through snapshot, clone, growth, the death of its node and a move', async () => {
  const parameters = { repl: '2', fs: 'xfs' };
  const claim = { name: 'a', sizeBytes: gib, parameters, fsType: 'xfs' };
  const id = await kubernetes.createVolume(claim);
  const onN2 = await kubernetes.mount(id, 'n2', 'xfs');
  await writeFile(join(onN2.targetPath, 'file'), 'hello', { flush: true });
  await sh('sync', '-f', onN2.targetPath);

  const snapshot = await kubernetes.createSnapshot(id, 's');
  await writeFile(join(onN2.targetPath, 'file'), 'later', { flush: true });
  const clone = await kubernetes.createVolume({
    ...claim,
    name: 'c',
    sizeBytes: 3 * gib,
    fromSnapshotId: snapshot,
  });
  const cloneOnN2 = await kubernetes.mount(clone, 'n2', 'xfs');
  expect(await readFile(join(cloneOnN2.targetPath, 'file'), 'utf8')).toBe('hello');
  expect(await sizeAt(cloneOnN2)).toBeGreaterThan(2.5 * gib);

  await kubernetes.expand(onN2, 2 * gib, 'xfs');
  expect(await sizeAt(onN2)).toBeGreaterThan(1.5 * gib);

  const { controller } = cluster.csi('n1');
  const elsewhere = { volume_id: id, node_id: cluster.id('n3') };
  await expect(
    controller.ControllerPublishVolume({ ...elsewhere, volume_capability: capability('xfs') }),
  ).rejects.toMatchObject({ code: 'failed_precondition' });

  await cluster.killNode('n2');
  await kubernetes.detach(id, 'n2');
  const onN3 = await mountOnceAllowed(id, 'n3');
  expect(await readFile(join(onN3.targetPath, 'file'), 'utf8')).toBe('later');
  await writeFile(join(onN3.targetPath, 'file'), 'on n3', { flush: true });

  // The dead node is back, with mounts of devices that are gone.
  await cluster.startNode('n2');
  await kubernetes.unmount(onN2);
  await kubernetes.unmount(cloneOnN2);
  await waitInSync(cluster, 'n1', id, 2, 60_000);
  expect(await readFile(join(onN3.targetPath, 'file'), 'utf8')).toBe('on n3');
  await kubernetes.unmount(onN3);
  await checkEqual(cluster, 'n1', id, 2);

  const again = await kubernetes.mount(clone, 'n3', 'xfs');
  expect(await readFile(join(again.targetPath, 'file'), 'utf8')).toBe('hello');
  await kubernetes.unmount(again);
  await controller.DeleteVolume({ volume_id: clone });
  await controller.DeleteSnapshot({ snapshot_id: snapshot });
  await controller.DeleteVolume({ volume_id: id });
  expect((await controller.ListVolumes({})).entries).toEqual([]);
  expect((await controller.ListSnapshots({})).entries).toEqual([]);
});

it('places replicas in distinct zones, with one on the node that the pod prefers', async () => {
  const key = 'topology.pxd.portworx.com';
  const { controller } = cluster.csi('n1');
  for (const node of ['n1', 'n2', 'n3']) {
    const here = { segments: { [`${key}/node`]: node } };
    const made = await controller.CreateVolume({
      name: `near-${node}`,
      capacity_range: { required_bytes: gib },
      volume_capabilities: [capability('ext4')],
      parameters: { repl: '2' },
      accessibility_requirements: { requisite: [here], preferred: [here] },
    });
    const volume_id = made.volume?.volume_id ?? '';
    const { replicas } = await cluster.api('n1').GetVolume({ id_or_name: volume_id });
    expect(replicas.map((replica) => replica.node_name)).toContain(node);
    expect(new Set(replicas.map((replica) => replica.zone)).size).toBe(2);
    await controller.DeleteVolume({ volume_id });
  }
  await expect(
    controller.CreateVolume({
      name: 'too-many',
      volume_capabilities: [capability('ext4')],
      parameters: { repl: '5' },
    }),
  ).rejects.toMatchObject({ code: 'resource_exhausted' });
});

it('deletes a sticky volume only when an administrator has cleared that', async () => {
  const parameters = { repl: '2', sticky: 'true' };
  const claim = { name: 'sticky', sizeBytes: gib, parameters, fsType: 'ext4' };
  const id = await kubernetes.createVolume(claim);
  const { controller } = cluster.csi('n1');
  await expect(controller.DeleteVolume({ volume_id: id })).rejects.toMatchObject({
    code: 'failed_precondition',
    message: expect.stringContaining('--sticky off') as string,
  });
  await cluster.api('n2').UpdateVolume({ id_or_name: id, sticky: false });
  await controller.DeleteVolume({ volume_id: id });
  await expect(cluster.api('n1').GetVolume({ id_or_name: id })).rejects.toMatchObject({
    code: 'not_found',
  });
});

it('makes of a claim what its storage policy demands, once, and changes it by a class', async () => {
  const { controller } = cluster.csi('n1');
  const api = cluster.api('n2');
  const put = (name: string, policy: object) =>
    api.PutStoragePolicy({ name, policy_json: JSON.stringify(policy) });
  await put('gold', {
    volume: {
      replication: { value: 2, operator: 'Minimum' },
      sizeBytes: { value: 2 * gib, operator: 'Minimum' },
    },
  });
  await put('strict', { enforcement: 'Reject', volume: { replication: { value: 2 } } });
  const claim = (parameters: Record<string, string>, limitBytes = 0) => ({
    name: 'governed',
    capacity_range: { required_bytes: gib, limit_bytes: limitBytes },
    volume_capabilities: [capability('ext4')],
    parameters,
  });
  const refused = { code: 'invalid_argument' };
  await expect(controller.CreateVolume(claim({ storagepolicy: 'none' }))).rejects.toMatchObject({
    ...refused,
    message: expect.stringMatching(/storagepolicy.*gold, strict/) as string,
  });
  const rejected = claim({ storagepolicy: 'strict', repl: '1' });
  await expect(controller.CreateVolume(rejected)).rejects.toMatchObject(refused);
  const tooLarge = claim({ storagepolicy: 'gold' }, gib);
  await expect(controller.CreateVolume(tooLarge)).rejects.toMatchObject(refused);

  const asked = claim({ storagepolicy: 'gold', repl: '1', io_throttle_wr_iops: '500' });
  const made = await controller.CreateVolume(asked);
  const volume_id = made.volume?.volume_id ?? '';
  expect(Number(made.volume?.capacity_bytes)).toBe(2 * gib);
  expect((await controller.CreateVolume(asked)).volume?.volume_id).toBe(volume_id);
  const other = claim({ storagepolicy: 'gold', repl: '3' });
  await expect(controller.CreateVolume(other)).rejects.toMatchObject({ code: 'already_exists' });

  const modify = (mutable_parameters: Record<string, string>) =>
    controller.ControllerModifyVolume({ volume_id, mutable_parameters });
  await modify({ repl: '3', io_throttle_wr_bw: '8' });
  await modify({ repl: '3', io_throttle_wr_bw: '8' });
  await waitInSync(cluster, 'n1', volume_id, 3, 60_000);
  expect((await api.GetVolume({ id_or_name: volume_id })).spec).toMatchObject({
    max_write_iops: '0',
    max_write_bytes_per_second: String(8 * 1024 ** 2),
  });
  await expect(modify({ repl: '1' })).rejects.toMatchObject(refused);
  await expect(modify({ storagepolicy: 'none' })).rejects.toMatchObject(refused);
  // A Reject policy takes no volume that breaks it.
  await expect(modify({ storagepolicy: 'strict' })).rejects.toMatchObject(refused);
  await controller.DeleteVolume({ volume_id });
  for (const name of ['gold', 'strict']) await api.DeleteStoragePolicy({ name });
});
