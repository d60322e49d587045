import { Writable } from 'node:stream';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createLogger } from '../../src/platform/logger.js';
import {
  blockOf,
  gib,
  mountOf,
  sh,
  startHarness,
  type CsiHarness,
} from '../support/csi-harness.js';

jest.setTimeout(60_000);

const ext4 = mountOf('ext4');
let h: CsiHarness;
let logged = '';
beforeAll(async () => {
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      logged += chunk.toString('utf8');
      done();
    },
  });
  h = await startHarness(createLogger({ program: 'test', level: 'debug', format: 'json', stream }));
});
afterAll(async () => {
  await h.close();
});

async function takeDown(id: string, ...pods: string[]): Promise<void> {
  for (const pod of pods) {
    await h.csi.node.NodeUnpublishVolume({ volume_id: id, target_path: h.target(pod) });
  }
  await h.csi.node.NodeUnstageVolume({ volume_id: id, staging_target_path: h.stagingPath });
}

describe('locking', () => {
  it('answers ABORTED only while another call is at work on the volume', async () => {
    const id = await h.create('locked');
    const other = await h.create('free');
    const held = h.fake.hold('AttachVolume');
    const first = h.stage(id, ext4);
    await held.reached;
    await expect(h.stage(id, ext4)).rejects.toMatchObject({ code: 'aborted' });
    await expect(
      h.csi.node.NodeGetVolumeStats({ volume_id: other, volume_path: '/nowhere' }),
    ).rejects.toMatchObject({ code: 'not_found' });
    held.release();
    await first;
    await h.stage(id, ext4);
    await takeDown(id);
  });

  it('makes one volume of many calls with one name', async () => {
    const calls = Array.from({ length: 8 }, () =>
      h.create('storm').catch((error: { code: string }) => error.code),
    );
    const answers = new Set(await Promise.all(calls));
    answers.delete('aborted');
    expect([...answers]).toHaveLength(1);
    expect(await h.create('storm')).toBe([...answers][0]);
  });
});

describe('access modes', () => {
  it('lets one pod only have a ReadWriteOncePod volume', async () => {
    for (const capability of [mountOf('ext4', 'SINGLE_NODE_SINGLE_WRITER')]) {
      const id = await h.create('rwop', { capability });
      await h.stage(id, capability);
      await h.publish(id, capability, 'one');
      await h.publish(id, capability, 'one');
      await expect(h.publish(id, capability, 'two')).rejects.toMatchObject({
        code: 'failed_precondition',
      });
      await takeDown(id, 'one');
    }
  });

  it('does the same for raw block', async () => {
    const capability = blockOf('SINGLE_NODE_SINGLE_WRITER');
    const id = await h.create('rwop-block', { capability });
    await h.stage(id, capability);
    await h.publish(id, capability, 'one');
    await expect(h.publish(id, capability, 'two')).rejects.toMatchObject({
      code: 'failed_precondition',
    });
    await takeDown(id, 'one');
  });

  it('lets several pods of the node have a SINGLE_NODE_MULTI_WRITER volume', async () => {
    const capability = mountOf('ext4', 'SINGLE_NODE_MULTI_WRITER');
    const id = await h.create('multi', { capability });
    await h.stage(id, capability);
    await h.publish(id, capability, 'one');
    await h.publish(id, capability, 'two', true);
    await writeFile(join(h.target('one'), 'file'), 'x');
    await expect(writeFile(join(h.target('two'), 'file'), 'x')).rejects.toMatchObject({
      code: 'EROFS',
    });
    await takeDown(id, 'one', 'two');
  });

  it('attaches a raw volume that is published read-only as a read-only device', async () => {
    const capability = blockOf();
    const id = await h.create('ro-block', { capability });
    const { publish_context } = await h.csi.controller.ControllerPublishVolume({
      volume_id: id,
      node_id: 'fake-node-1',
      volume_capability: capability,
      readonly: true,
    });
    await h.csi.node.NodeStageVolume({
      volume_id: id,
      staging_target_path: h.stagingPath,
      volume_capability: capability,
      publish_context,
    });
    expect(await sh('blockdev', '--getro', h.fake.devicePath(id))).toBe('1');
    await takeDown(id);
    await h.csi.controller.ControllerUnpublishVolume({ volume_id: id, node_id: '' });
  });

  it('passes mount options on and never those of another kind of mount', async () => {
    const id = await h.create('options', { parameters: { mount_options: 'noatime' } });
    const capability = mountOf('ext4');
    await h.csi.node.NodeStageVolume({
      volume_id: id,
      staging_target_path: h.stagingPath,
      volume_capability: { ...capability, mount: { fs_type: 'ext4', mount_flags: ['nodev'] } },
      volume_context: { 'px/mount-options': 'noatime' },
    });
    const options = await sh('findmnt', '-n', '-o', 'OPTIONS', h.stagingPath);
    expect(options.split(',')).toEqual(
      expect.arrayContaining(['noatime', 'nodev', 'discard', 'errors=remount-ro']),
    );
    await takeDown(id);
    await expect(
      h.csi.node.NodeStageVolume({
        volume_id: id,
        staging_target_path: h.stagingPath,
        volume_capability: capability,
        volume_context: { 'px/mount-options': 'bind' },
      }),
    ).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});

describe('the controller', () => {
  it('takes a volume that has grown since for the one that was asked for', async () => {
    const id = await h.create('grown');
    const capacity_range = { required_bytes: 2 * gib };
    await h.csi.controller.ControllerExpandVolume({ volume_id: id, capacity_range });
    expect(await h.create('grown')).toBe(id);
    await expect(h.create('grown', { parameters: { repl: '2' } })).rejects.toMatchObject({
      code: 'already_exists',
    });
    await expect(h.create('grown', { sizeBytes: 5 * gib })).rejects.toMatchObject({
      code: 'already_exists',
    });
  });

  it('keeps volumes and snapshots apart', async () => {
    const id = await h.create('source');
    const made = await h.csi.controller.CreateSnapshot({ source_volume_id: id, name: 'snap' });
    const snapshot_id = made.snapshot?.snapshot_id ?? '';
    expect(made.snapshot).toMatchObject({ source_volume_id: id, ready_to_use: true });
    expect(made.snapshot?.creation_time).toEqual({ seconds: '1767323045', nanos: 678_000_000 });
    const { controller } = h.csi;
    const invalid = { code: 'invalid_argument' };
    await expect(controller.DeleteVolume({ volume_id: snapshot_id })).rejects.toMatchObject(
      invalid,
    );
    await expect(controller.DeleteSnapshot({ snapshot_id: id })).rejects.toMatchObject(invalid);
    await expect(controller.GetSnapshot({ snapshot_id: id })).rejects.toMatchObject({
      code: 'not_found',
    });
    await expect(h.create('from-wrong', { fromVolume: snapshot_id })).rejects.toMatchObject({
      code: 'not_found',
    });
    const listed = await controller.ListVolumes({});
    expect(listed.entries.map((entry) => entry.volume?.volume_id)).not.toContain(snapshot_id);
    await controller.DeleteSnapshot({ snapshot_id });
    expect((await controller.ListSnapshots({ snapshot_id })).entries).toEqual([]);
  });

  it('takes an id for an id, not for a name', async () => {
    await h.create('some-name');
    await h.csi.controller.DeleteVolume({ volume_id: 'some-name' });
    await expect(
      h.csi.controller.ControllerGetVolume({ volume_id: 'some-name' }),
    ).rejects.toMatchObject({ code: 'not_found' });
    expect(await h.create('some-name')).not.toBe('');
  });

  it('lists in pages, and answers a foreign token with ABORTED', async () => {
    for (const name of ['p1', 'p2', 'p3']) await h.create(name);
    const { controller } = h.csi;
    const all = await controller.ListVolumes({});
    const seen: (string | undefined)[] = [];
    let starting_token = '';
    do {
      const page = await controller.ListVolumes({ max_entries: 2, starting_token });
      expect(page.entries.length).toBeLessThanOrEqual(2);
      seen.push(...page.entries.map((entry) => entry.volume?.volume_id));
      starting_token = page.next_token;
    } while (starting_token !== '');
    expect(seen).toEqual(all.entries.map((entry) => entry.volume?.volume_id));
    await expect(controller.ListVolumes({ starting_token: 'stranger' })).rejects.toMatchObject({
      code: 'aborted',
    });
  });

  it('tells where a volume is published and how it is', async () => {
    const id = await h.create('ill');
    const { controller } = h.csi;
    const publish = { volume_id: id, node_id: 'fake-node-1', volume_capability: ext4 };
    await controller.ControllerPublishVolume(publish);
    h.fake.setStatus(id, 'degraded');
    const { status } = await controller.ControllerGetVolume({ volume_id: id });
    expect(status?.published_node_ids).toEqual(['fake-node-1']);
    expect(status?.volume_condition?.abnormal).toBe(true);
    const health = await controller.ControllerGetVolumeHealth({ volume_id: id });
    expect(health.volume_health?.health_statuses[0]?.status).toBe('DEGRADED');
    await expect(
      controller.ControllerPublishVolume({ ...publish, node_id: 'fake-node-2' }),
    ).rejects.toMatchObject({ code: 'failed_precondition' });
    await expect(controller.DeleteVolume({ volume_id: id })).rejects.toMatchObject({
      code: 'failed_precondition',
    });
    await controller.ControllerUnpublishVolume({ volume_id: id, node_id: 'fake-node-1' });
    await controller.DeleteVolume({ volume_id: id });
  });

  it('counts the capacity of the region that a topology lies in', async () => {
    const key = 'topology.pxd.portworx.com';
    const capacity = async (segments: Record<string, string>, parameters = {}) => {
      const request = { accessible_topology: { segments }, parameters };
      return Number((await h.csi.controller.GetCapacity(request)).available_capacity) / gib;
    };
    expect(await capacity({ [`${key}/node`]: 'n1' })).toBe(3 * 64);
    expect(await capacity({ [`${key}/zone`]: 'zone-2' }, { zones: 'zone-1,zone-2' })).toBe(2 * 64);
    expect(await capacity({ [`${key}/zone`]: 'elsewhere' })).toBe(0);
  });

  it('passes the cause of a failure on with its own status', async () => {
    h.fake.fail('CreateVolume', 'resource_exhausted');
    await expect(h.create('none')).rejects.toMatchObject({ code: 'resource_exhausted' });
    h.fake.fail('CreateVolume', undefined);
    h.fake.fail('GetVolume', 'kvdb_unavailable');
    await expect(h.csi.controller.DeleteVolume({ volume_id: 'x' })).rejects.toMatchObject({
      code: 'kvdb_unavailable',
    });
    h.fake.fail('GetVolume', undefined);
  });
});

describe('attributes of a volume', () => {
  const modify = (id: string, parameters: Record<string, string>) =>
    h.csi.controller.ControllerModifyVolume({ volume_id: id, mutable_parameters: parameters });

  it('are set when it is made, and override the class', async () => {
    const made = await h.csi.controller.CreateVolume({
      name: 'attributes',
      volume_capabilities: [ext4],
      parameters: { repl: '1', io_throttle_rd_iops: '100', snap_interval: '60' },
      mutable_parameters: { repl: '2', storagepolicy: 'gold' },
    });
    expect(h.fake.spec(made.volume?.volume_id ?? '')).toMatchObject({
      replicas: 2,
      storage_policy: 'gold',
      max_read_iops: '100',
      snapshot_schedule: 'periodic=60,5',
    });
    await expect(
      h.csi.controller.CreateVolume({
        name: 'attributes-2',
        volume_capabilities: [ext4],
        mutable_parameters: { fs: 'xfs' },
      }),
    ).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it('change; one kind of limit takes the place of the other; twice is once', async () => {
    const id = await h.create('modified');
    for (let round = 0; round < 2; round++) {
      await modify(id, { repl: '3', io_priority: 'high', io_throttle_wr_iops: '50' });
    }
    expect(h.fake.spec(id)).toMatchObject({
      replicas: 3,
      io_priority: 'high',
      max_write_iops: '50',
    });
    await modify(id, { io_throttle_wr_bw: '2' });
    expect(h.fake.spec(id)).toMatchObject({
      max_write_iops: '0',
      max_write_bytes_per_second: String(2 * 1024 ** 2),
    });
  });

  it('that can not change, or have no meaning, are refused', async () => {
    const id = await h.create('unmodified');
    const refused = { code: 'invalid_argument' };
    await expect(modify(id, { fs: 'xfs' })).rejects.toMatchObject(refused);
    await expect(modify(id, { repl: 'many' })).rejects.toMatchObject(refused);
    await expect(modify('', { repl: '2' })).rejects.toMatchObject(refused);
    await expect(modify('nobody', { repl: '2' })).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('logs', () => {
  it('show the calls and never a secret', async () => {
    const secrets = { passphrase: 'correct horse', token: 'battery staple' };
    await h.csi.controller.DeleteVolume({ volume_id: 'gone', secrets });
    await expect(
      h.csi.controller.CreateVolume({
        name: 'x',
        secrets,
        parameters: { secret_key: 'tr0ub4dor' },
      }),
    ).rejects.toMatchObject({ code: 'invalid_argument' });
    expect(logged).toContain('"method":"DeleteVolume"');
    expect(logged).toContain('"method":"CreateVolume"');
    expect(logged).not.toMatch(/correct horse|battery staple|tr0ub4dor/);
  });
});
