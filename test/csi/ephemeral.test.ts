import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  blockOf,
  mountOf,
  mountsBelow,
  startHarness,
  type CsiHarness,
} from '../support/csi-harness.js';

jest.setTimeout(60_000);

/** As the kubelet makes them. */
const id = `csi-${'0123456789abcdef'.repeat(4)}`;
const inline = {
  'csi.storage.k8s.io/ephemeral': 'true',
  'csi.storage.k8s.io/pod.name': 'web-0',
  'csi.storage.k8s.io/pod.namespace': 'shop',
};

let h: CsiHarness;
beforeEach(async () => {
  h = await startHarness();
});
afterEach(async () => {
  await h.close();
});

function publish(attributes: Record<string, string> = {}, capability = mountOf('ext4')) {
  return h.csi.node.NodePublishVolume({
    volume_id: id,
    target_path: h.target('pod'),
    volume_capability: capability,
    volume_context: { ...inline, ...attributes },
  });
}

function unpublish() {
  return h.csi.node.NodeUnpublishVolume({ volume_id: id, target_path: h.target('pod') });
}

async function volumes() {
  return (await h.csi.controller.ListVolumes({ max_entries: 0, starting_token: '' })).entries;
}

describe("a volume of a pod's own", () => {
  it('is there while the pod is, also over restarts and repeated calls', async () => {
    await publish({ size: '2Gi', repl: '2' });
    await writeFile(join(h.target('pod'), 'file'), 'kept');
    await h.restart();
    await publish({ size: '2Gi', repl: '2' });
    expect(await readFile(join(h.target('pod'), 'file'), 'utf8')).toBe('kept');
    const stats = await h.csi.node.NodeGetVolumeStats({
      volume_id: id,
      volume_path: h.target('pod'),
    });
    expect(stats.volume_condition?.abnormal).toBe(false);
    const [entry] = await volumes();
    expect(entry?.volume?.capacity_bytes).toBe(String(2 * 1024 ** 3));

    await unpublish();
    expect(existsSync(h.target('pod'))).toBe(false);
    expect(await mountsBelow(h.dir)).toEqual([]);
    expect(await volumes()).toEqual([]);
    await unpublish();
  });

  it('never takes a volume that somebody made by that name', async () => {
    await h.create(id);
    await expect(publish()).rejects.toMatchObject({ code: 'already_exists' });
    await unpublish();
    expect(await volumes()).toHaveLength(1);
  });

  it.each([
    ['raw block', {}, blockOf(), /no raw block/],
    ['a bad size', { size: 'big' }, mountOf('ext4'), /size/],
    ['what would outlive the pod', { sticky: 'true' }, mountOf('ext4'), /ends with its pod/],
    ['a bad parameter', { repl: '9' }, mountOf('ext4'), /"repl"/],
  ])('refuses %s and leaves nothing', async (_what, attributes, capability, message) => {
    await expect(publish(attributes, capability)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringMatching(message) as string,
    });
    expect(await volumes()).toEqual([]);
  });
});
