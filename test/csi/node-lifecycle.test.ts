import { existsSync } from 'node:fs';
import { readFile, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  blockOf,
  gib,
  mountOf,
  mountsBelow,
  sh,
  startHarness,
  type CsiHarness,
} from '../support/csi-harness.js';
import { writePartitionTable } from '../support/partition-table.js';

jest.setTimeout(60_000);

let h: CsiHarness;
beforeEach(async () => {
  h = await startHarness();
});
afterEach(async () => {
  await h.close();
});

async function usedPath(name: string) {
  const stats = await h.csi.node.NodeGetVolumeStats({ volume_id: id, volume_path: h.target(name) });
  return stats.usage.find((usage) => usage.unit === 'BYTES');
}

let id = '';

async function sizeOfFilesystem(path: string): Promise<number> {
  const { blocks, bsize } = await statfs(path);
  return blocks * bsize;
}

/** The kernel lets only such a process grow a mounted ext4. */
async function mayGrowMounted(fsType: string): Promise<boolean> {
  if (fsType !== 'ext4') return true;
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)?.[1] ?? '0'}`);
  const capSysResource = 24n;
  return ((effective >> capSysResource) & 1n) === 1n;
}

describe.each(['ext4', 'xfs'])('a %s volume', (fsType) => {
  const capability = mountOf(fsType);

  it('is staged, published, grown online and taken down, keeping its data', async () => {
    id = await h.create('v', { capability });
    await h.stage(id, capability);
    await h.publish(id, capability, 'pod');
    await writeFile(join(h.target('pod'), 'file'), 'hello');
    expect(Number((await usedPath('pod'))?.total)).toBeLessThan(gib);

    const capacity_range = { required_bytes: 2 * gib };
    const grown = await h.csi.controller.ControllerExpandVolume({ volume_id: id, capacity_range });
    expect(grown).toEqual({ capacity_bytes: String(2 * gib), node_expansion_required: true });
    const volume_path = h.target('pod');
    const expand = h.csi.node.NodeExpandVolume({ volume_id: id, volume_path, capacity_range });
    if (await mayGrowMounted(fsType)) {
      expect((await expand).capacity_bytes).toBe(String(2 * gib));
      expect(Number((await usedPath('pod'))?.total)).toBeGreaterThan(1.5 * gib);
    } else {
      await expect(expand).rejects.toMatchObject({ code: 'failed_precondition' });
    }

    await h.csi.node.NodeUnpublishVolume({ volume_id: id, target_path: h.target('pod') });
    expect(existsSync(h.target('pod'))).toBe(false);
    await h.csi.node.NodeUnstageVolume({ volume_id: id, staging_target_path: h.stagingPath });
    expect(await mountsBelow(h.dir)).toEqual([]);
    expect(h.fake.devicePath(id)).toBe('');

    await h.stage(id, capability);
    expect(await readFile(join(h.stagingPath, 'file'), 'utf8')).toBe('hello');
    expect(await sizeOfFilesystem(h.stagingPath)).toBeGreaterThan(1.5 * gib);
  });

  it('gives the same answer to every call made twice', async () => {
    id = await h.create('v', { capability });
    expect(await h.create('v', { capability })).toBe(id);
    for (let round = 0; round < 2; round += 1) await h.stage(id, capability);
    for (let round = 0; round < 2; round += 1) await h.publish(id, capability, 'pod');
    expect(await mountsBelow(h.dir)).toHaveLength(2);
    const unpublish = { volume_id: id, target_path: h.target('pod') };
    const unstage = { volume_id: id, staging_target_path: h.stagingPath };
    for (let round = 0; round < 2; round += 1) await h.csi.node.NodeUnpublishVolume(unpublish);
    for (let round = 0; round < 2; round += 1) await h.csi.node.NodeUnstageVolume(unstage);
    for (let round = 0; round < 2; round += 1) {
      await h.csi.controller.DeleteVolume({ volume_id: id });
    }
    expect(await mountsBelow(h.dir)).toEqual([]);
  });

  it('gives clones that are mounted beside their source and fill their larger size', async () => {
    id = await h.create('v', { capability });
    await h.stage(id, capability);
    await writeFile(join(h.stagingPath, 'file'), 'hello');
    await sh('sync', '-f', h.stagingPath);
    const made = await h.csi.controller.CreateSnapshot({ source_volume_id: id, name: 's' });
    const clone = await h.create('c', {
      capability,
      sizeBytes: 3 * gib,
      fromSnapshot: made.snapshot?.snapshot_id ?? '',
    });
    const clonePath = join(h.dir, 'staging-clone');
    await h.stage(clone, capability, clonePath);
    expect(await readFile(join(clonePath, 'file'), 'utf8')).toBe('hello');
    expect(await sizeOfFilesystem(clonePath)).toBeGreaterThan(2.5 * gib);
  });

  it('recovers from a shut-down file system once no pod has it', async () => {
    id = await h.create('v', { capability });
    await h.stage(id, capability);
    await h.publish(id, capability, 'pod');
    await writeFile(join(h.target('pod'), 'file'), 'hello');
    await sh('sync', '-f', h.stagingPath);
    await sh('xfs_io', '-x', '-c', 'shutdown', h.stagingPath);
    const volume_path = h.target('pod');
    const stats = await h.csi.node.NodeGetVolumeStats({ volume_id: id, volume_path });
    expect(stats.volume_condition?.abnormal).toBe(true);
    await expect(h.stage(id, capability)).rejects.toMatchObject({ code: 'failed_precondition' });
    await h.csi.node.NodeUnpublishVolume({ volume_id: id, target_path: volume_path });
    await h.stage(id, capability);
    await h.publish(id, capability, 'pod');
    expect(await readFile(join(h.target('pod'), 'file'), 'utf8')).toBe('hello');
  });

  it('is mounted anew when its device has come back under another number', async () => {
    id = await h.create('v', { capability });
    await h.stage(id, capability);
    await h.publish(id, capability, 'pod');
    await writeFile(join(h.target('pod'), 'file'), 'hello');
    await sh('sync', '-f', h.target('pod'));
    await h.fake.loseDevice(id);
    await h.stage(id, capability);
    await h.publish(id, capability, 'pod');
    const device = h.fake.devicePath(id);
    expect(await sh('findmnt', '-n', '-o', 'SOURCE', h.stagingPath)).toBe(device);
    expect(await sh('findmnt', '-n', '-o', 'SOURCE', h.target('pod'))).toBe(device);
    expect(await readFile(join(h.target('pod'), 'file'), 'utf8')).toBe('hello');
  });
});

describe('a raw block volume', () => {
  it('is a block device at the target, with what was written to it', async () => {
    const capability = blockOf();
    id = await h.create('v', { capability });
    await h.stage(id, capability);
    await h.publish(id, capability, 'pod');
    await h.publish(id, capability, 'pod');
    const target = h.target('pod');
    await sh('sh', '-c', `printf 'raw data' | dd of=${target} conv=notrunc,fsync status=none`);
    expect(await sh('blockdev', '--getsize64', target)).toBe(String(gib));
    const capacity_range = { required_bytes: 2 * gib };
    const grown = await h.csi.controller.ControllerExpandVolume({ volume_id: id, capacity_range });
    expect(grown.node_expansion_required).toBe(false);
    const request = { volume_id: id, volume_path: target, capacity_range };
    expect((await h.csi.node.NodeExpandVolume(request)).capacity_bytes).toBe(String(2 * gib));
    expect((await usedPath('pod'))?.total).toBe(String(2 * gib));
    await h.csi.node.NodeUnpublishVolume({ volume_id: id, target_path: target });
    expect(existsSync(target)).toBe(false);
    await h.csi.node.NodeUnstageVolume({ volume_id: id, staging_target_path: h.stagingPath });
    await h.stage(id, capability);
    expect(await sh('dd', `if=${h.fake.devicePath(id)}`, 'bs=8', 'count=1', 'status=none')).toBe(
      'raw data',
    );
  });

  it('is never given a file system, however empty it looks', async () => {
    id = await h.create('v', { capability: blockOf() });
    await expect(h.stage(id, mountOf('ext4'))).rejects.toMatchObject({
      code: 'failed_precondition',
      message: expect.stringContaining('raw block') as string,
    });
  });
});

describe('what is on a device', () => {
  test.each<[string, (device: string) => Promise<unknown>]>([
    ['a partition table', writePartitionTable],
    ['swap', (device) => sh('mkswap', device)],
    ['another file system', (device) => sh('mkfs.xfs', '-q', '-f', device)],
  ])('is left alone when it is %s', async (_what, fill) => {
    id = await h.create('v');
    await h.stage(id, mountOf('ext4'));
    await h.csi.node.NodeUnstageVolume({ volume_id: id, staging_target_path: h.stagingPath });
    // Attach only: the raw capability touches nothing.
    await h.stage(id, blockOf());
    const device = h.fake.devicePath(id);
    await sh('wipefs', '-a', '-q', device);
    await fill(device);
    const before = await sh('sha256sum', device);
    await expect(h.stage(id, mountOf('ext4'))).rejects.toMatchObject({ code: 'device_in_use' });
    expect(await sh('sha256sum', device)).toBe(before);
    expect(await mountsBelow(h.dir)).toEqual([]);
  });
});
