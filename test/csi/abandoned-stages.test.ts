import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AbandonedStages } from '../../src/csi/node/abandoned-stages.js';
import { nodeContextOf } from '../../src/csi/server.js';
import { connectNode, type NodeApi } from '../../src/platform/grpc-client.js';
import { silentLogger } from '../../src/platform/logger.js';
import { runCommand } from '../../src/platform/run-command.js';
import { waitFor } from '../../tools/lib/wait.js';
import {
  blockOf,
  mountOf,
  mountsBelow,
  startHarness,
  type CsiHarness,
} from '../support/csi-harness.js';

/**
 * What a kubelet leaves that dies after its last call of NodeUnpublishVolume:
 * a staged volume, and its own note beside it, of which it knows nothing more.
 */
jest.setTimeout(60_000);

const ext4 = mountOf('ext4');
let h: CsiHarness;
let px: NodeApi;
let id = '';
let node = '';
let directory = '';
let stages: AbandonedStages;

beforeEach(async () => {
  h = await startHarness();
  const protoDir = join(process.cwd(), 'proto');
  px = connectNode(h.fake.address, { timeoutMs: 5_000, protoDir });
  const context = nodeContextOf({
    ...{ mode: 'node', endpoint: '', driverName: 'pxd.portworx.com', version: '0' },
    ...{ maxVolumesPerNode: 0, frontend: 'fuse', protoDir, run: runCommand },
    ...{ px, logger: silentLogger },
  });
  directory = join(h.dir, 'plugins/kubernetes.io/csi/pxd.portworx.com');
  stages = new AbandonedStages(context, h.dir, 'pxd.portworx.com');
  id = await h.create('v');
  node = (await px.GetStatus({})).id;
});
afterEach(async () => {
  px.close();
  await h.close();
});

/** As the kubelet does it: its note first, then the call. */
async function stage(): Promise<string> {
  const own = join(directory, 'hash');
  await mkdir(join(own, 'globalmount'), { recursive: true });
  const note = { driverName: 'pxd.portworx.com', volumeHandle: id };
  await writeFile(join(own, 'vol_data.json'), JSON.stringify(note));
  await h.csi.controller.ControllerPublishVolume({
    volume_id: id,
    node_id: node,
    volume_capability: ext4,
  });
  await h.stage(id, ext4, join(own, 'globalmount'));
  return join(own, 'globalmount');
}

const detachedByController = (): Promise<unknown> =>
  h.csi.controller.ControllerUnpublishVolume({ volume_id: id, node_id: node });

async function attachedOn(): Promise<string> {
  return (await px.GetVolume({ id_or_name: id })).attached_on;
}

it('is kept while the volume is reserved for the node, and looked at again', async () => {
  const path = await stage();
  expect(await stages.look()).toBe(1);
  expect(await mountsBelow(h.dir)).toEqual([path]);
  expect(await attachedOn()).toBe(node);
});

it('is unmounted, detached and removed once the reservation is gone', async () => {
  await stage();
  await detachedByController();
  expect(await stages.look()).toBe(0);
  expect(await mountsBelow(h.dir)).toEqual([]);
  expect(await attachedOn()).toBe('');
  expect(await readdir(directory)).toEqual([]);
  await h.csi.controller.DeleteVolume({ volume_id: id });
});

it('is found by a watch that began before the reservation was gone', async () => {
  await stage();
  const end = new AbortController();
  stages.clear(end.signal);
  await detachedByController();
  await waitFor(
    'end of the stage',
    20_000,
    () => !existsSync(join(directory, 'hash')) || undefined,
  );
  end.abort();
  expect(await attachedOn()).toBe('');
});

it('is not touched while a pod has it, reserved or not', async () => {
  const path = await stage();
  const target = h.target('pod');
  await h.csi.node.NodePublishVolume({
    volume_id: id,
    staging_target_path: path,
    target_path: target,
    volume_capability: ext4,
  });
  await detachedByController();
  expect(await stages.look()).toBe(0);
  expect((await mountsBelow(h.dir)).sort()).toEqual([path, target].sort());
  expect(await attachedOn()).toBe(node);
});

it('is removed when the kubelet forgot it after it was unstaged', async () => {
  const path = await stage();
  await h.csi.node.NodeUnstageVolume({ volume_id: id, staging_target_path: path });
  await detachedByController();
  await h.csi.controller.DeleteVolume({ volume_id: id });
  expect(await stages.look()).toBe(0);
  expect(await readdir(directory)).toEqual([]);
});

it('keeps a directory with what somebody wrote below the mount', async () => {
  const path = await stage();
  await h.csi.node.NodeUnstageVolume({ volume_id: id, staging_target_path: path });
  await detachedByController();
  await writeFile(join(path, 'file'), 'not ours');
  expect(await stages.look()).toBe(1);
  expect(await readdir(path)).toEqual(['file']);
});

it('needs a note of the kubelet', async () => {
  await mkdir(join(directory, 'half/globalmount'), { recursive: true });
  await writeFile(join(directory, 'half/vol_data.json'), '{"volumeHandle":');
  await mkdir(join(directory, 'none'));
  expect(await stages.look()).toBe(0);
  expect((await readdir(directory)).sort()).toEqual(['half', 'none']);
});

it('is looked at again when a directory of the kubelet cannot be read', async () => {
  const path = await stage();
  await detachedByController();
  const devices = join(h.dir, 'plugins/kubernetes.io/csi/volumeDevices');
  await writeFile(devices, 'no directory');
  expect(await stages.look()).toBe(1);
  expect(await mountsBelow(h.dir)).toEqual([path]);
  await rm(devices);
  expect(await stages.look()).toBe(0);
  expect(await mountsBelow(h.dir)).toEqual([]);
});

describe('a raw block volume', () => {
  const block = blockOf();
  const pod = 'b9b8a3f4-0000-4000-8000-000000000001';
  let devices = '';
  let link = '';

  beforeEach(() => {
    devices = join(h.dir, 'plugins/kubernetes.io/csi/volumeDevices');
    link = join(h.dir, 'pods', pod, 'volumeDevices/kubernetes.io~csi/pv');
  });

  /** Staged and published to a pod, with the kubelet's links and notes. */
  async function publish(driverName = 'pxd.portworx.com'): Promise<string> {
    const path = join(devices, 'staging/pv');
    const target = join(devices, 'publish/pv', pod);
    for (const directory of [path, join(devices, 'pv/data'), join(devices, 'pv/dev')]) {
      await mkdir(directory, { recursive: true });
    }
    const note = { specVolID: 'pv', driverName, volumeHandle: id };
    await writeFile(join(devices, 'pv/data/vol_data.json'), JSON.stringify(note));
    await h.csi.controller.ControllerPublishVolume({
      ...{ volume_id: id, node_id: node, volume_capability: block },
    });
    await h.stage(id, block, path);
    await mkdir(join(devices, 'publish/pv'), { recursive: true });
    await h.csi.node.NodePublishVolume({
      ...{ volume_id: id, staging_target_path: path, target_path: target },
      volume_capability: block,
    });
    const mapped = join(devices, 'pv/dev', pod);
    await writeFile(mapped, '');
    await runCommand('mount', ['--bind', target, mapped], { timeoutMs: 10_000 });
    await mkdir(join(link, '..'), { recursive: true });
    await symlink(target, link);
    return target;
  }

  it('is not touched while its pod has the link, reserved or not', async () => {
    const target = await publish();
    await detachedByController();
    expect(await stages.look()).toBe(0);
    expect(await mountsBelow(h.dir)).toContain(target);
    expect(await attachedOn()).toBe(node);
    await rm(link);
    expect(await stages.look()).toBe(0);
  });

  it('is kept while it is reserved for the node, though no pod has the link', async () => {
    const target = await publish();
    await rm(link);
    expect(await stages.look()).toBe(1);
    expect(await mountsBelow(h.dir)).toContain(target);
    await detachedByController();
    expect(await stages.look()).toBe(0);
  });

  it('is unpublished, detached and removed when pod and reservation are gone', async () => {
    await publish();
    await rm(link);
    await detachedByController();
    expect(await stages.look()).toBe(0);
    expect(await mountsBelow(h.dir)).toEqual([]);
    expect(await attachedOn()).toBe('');
    expect((await readdir(devices)).sort()).toEqual(['publish', 'staging']);
    expect(await readdir(join(devices, 'publish'))).toEqual([]);
    expect(await readdir(join(devices, 'staging'))).toEqual([]);
    await h.csi.controller.DeleteVolume({ volume_id: id });
  });

  it('is kept when it cannot be told which pods have it', async () => {
    const target = await publish();
    await rm(link);
    await detachedByController();
    // In the way of the link: neither there nor absent.
    await rm(join(h.dir, 'pods', pod), { recursive: true });
    await writeFile(join(h.dir, 'pods', pod), 'no directory');
    expect(await stages.look()).toBe(1);
    expect(await mountsBelow(h.dir)).toContain(target);
    expect(await attachedOn()).toBe(node);
    await rm(join(h.dir, 'pods', pod));
    expect(await stages.look()).toBe(0);
    expect(await attachedOn()).toBe('');
  });

  it('is left alone when its note names another driver', async () => {
    const target = await publish('other.example.com');
    await rm(link);
    await detachedByController();
    expect(await stages.look()).toBe(0);
    expect(await mountsBelow(h.dir)).toContain(target);
    for (const path of await mountsBelow(h.dir)) {
      await runCommand('umount', [path], { timeoutMs: 10_000 });
    }
  });
});
