import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  blockOf,
  mountOf,
  mountsBelow,
  sh,
  startHarness,
  type CsiHarness,
} from '../support/csi-harness.js';

/**
 * A call can be cut off between any two of its steps. Each test leaves exactly
 * what such a call leaves, starts px-csi anew, and repeats the call.
 */
jest.setTimeout(60_000);

const ext4 = mountOf('ext4');
let h: CsiHarness;
let id = '';
beforeEach(async () => {
  h = await startHarness();
  id = await h.create('v');
});
afterEach(async () => {
  await h.close();
});

async function expectUsable(): Promise<void> {
  await h.publish(id, ext4, 'pod');
  await writeFile(join(h.target('pod'), 'file'), 'hello');
  expect(await readFile(join(h.stagingPath, 'file'), 'utf8')).toBe('hello');
  expect(await mountsBelow(h.dir)).toHaveLength(2);
}

describe('NodeStage cut off', () => {
  it('after the attach', async () => {
    await h.stage(id, blockOf());
    await h.restart();
    await h.stage(id, ext4);
    await expectUsable();
  });

  it('after the format', async () => {
    await h.stage(id, blockOf());
    await sh('mkfs.ext4', '-q', h.fake.devicePath(id));
    await h.restart();
    await h.stage(id, ext4);
    await expectUsable();
  });

  it('after the mount, before the answer', async () => {
    await h.stage(id, ext4);
    await h.restart();
    await h.stage(id, ext4);
    await expectUsable();
  });

  it('in the middle of mkfs.xfs, which had stored nothing yet', async () => {
    const xfs = mountOf('xfs');
    id = await h.create('x', { capability: xfs });
    await h.stage(id, blockOf());
    const device = h.fake.devicePath(id);
    await sh('mkfs.xfs', '-q', device);
    // sb_inprogress, which mkfs.xfs clears last.
    await sh(
      'sh',
      '-c',
      `printf '\\1' | dd of=${device} bs=1 seek=126 conv=notrunc,fsync status=none`,
    );
    await h.stage(id, xfs);
    expect(await sh('findmnt', '-n', '-o', 'FSTYPE', h.stagingPath)).toBe('xfs');
  });
});

describe('NodePublish cut off', () => {
  beforeEach(async () => {
    await h.stage(id, ext4);
  });

  it('after the target was made', async () => {
    await mkdir(h.target('pod'), { recursive: true });
    await h.restart();
    await expectUsable();
  });

  it('between the bind and its remount as read-only', async () => {
    await mkdir(h.target('pod'), { recursive: true });
    await sh('mount', '--bind', h.stagingPath, h.target('pod'));
    await h.restart();
    await h.publish(id, ext4, 'pod', true);
    await expect(writeFile(join(h.target('pod'), 'file'), 'x')).rejects.toMatchObject({
      code: 'EROFS',
    });
    await writeFile(join(h.stagingPath, 'file'), 'still writable here');
  });
});

describe('taking down', () => {
  beforeEach(async () => {
    await h.stage(id, ext4);
    await h.publish(id, ext4, 'pod');
  });

  const unpublish = () =>
    h.csi.node.NodeUnpublishVolume({ volume_id: id, target_path: h.target('pod') });
  const unstage = () =>
    h.csi.node.NodeUnstageVolume({ volume_id: id, staging_target_path: h.stagingPath });

  it('goes on after the target was unmounted but not removed', async () => {
    await sh('umount', h.target('pod'));
    await h.restart();
    await unpublish();
    await unstage();
    expect(await mountsBelow(h.dir)).toEqual([]);
    expect(h.fake.devicePath(id)).toBe('');
  });

  it('goes on after the staging path was unmounted but the volume not detached', async () => {
    await unpublish();
    await sh('umount', h.stagingPath);
    await h.restart();
    await unstage();
    expect(h.fake.devicePath(id)).toBe('');
  });

  it('takes away mounts that calls cut off and repeated have stacked', async () => {
    await sh('mount', '--bind', h.stagingPath, h.target('pod'));
    await unpublish();
    expect(await mountsBelow(h.dir)).toEqual([h.stagingPath]);
  });

  it('refuses to take the device from under a pod', async () => {
    await expect(unstage()).rejects.toMatchObject({
      code: 'failed_precondition',
      message: expect.stringContaining(dirname(h.target('pod'))) as string,
    });
    await writeFile(join(h.target('pod'), 'file'), 'still there');
    expect(await mountsBelow(h.dir)).toHaveLength(2);
  });

  it('never removes what lies in a target that is not mounted', async () => {
    await unpublish();
    await mkdir(h.target('pod'), { recursive: true });
    await writeFile(join(h.target('pod'), 'precious'), 'x');
    await expect(unpublish()).rejects.toThrow();
    expect(await readFile(join(h.target('pod'), 'precious'), 'utf8')).toBe('x');
  });

  it('unpublishes without px-node', async () => {
    h.fake.fail('GetVolume', 'unavailable');
    h.fake.fail('GetStatus', 'unavailable');
    await unpublish();
    expect(await mountsBelow(h.dir)).toEqual([h.stagingPath]);
    expect((await h.csi.identity.Probe({})).ready?.value).toBe(false);
  });
});
