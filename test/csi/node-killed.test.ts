import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toPxError } from '../../src/kernel/errors.js';
import { connectCsi, type CsiClients } from '../../tools/lib/grpc.js';
import { mountOf, mountsBelow, sh } from '../support/csi-harness.js';
import { startFakePxNode, type FakePxNode } from '../support/fake-px-node.js';

/**
 * px-csi as a process of its own, killed with SIGKILL at random moments of its
 * calls and started again, as the kubelet's retries meet it. Needs the build.
 */
jest.setTimeout(120_000);

const rounds = 6;
const longestCallMs = 160;
const seed = Number(process.env.PX_TEST_SEED ?? Date.now() % 1_000_000_000);

/** mulberry32: a seed gives the same moments again, as far as a real kernel allows. */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

let dir: string;
let fake: FakePxNode;
let child: ChildProcess | undefined;
let csi: CsiClients;

async function startCsi(): Promise<void> {
  const socket = join(dir, 'csi.sock');
  const main = join(process.cwd(), 'dist/src/csi/main.js');
  const args = [main, '--endpoint', `unix://${socket}`, '--node-endpoint', fake.address];
  child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  // The first line of its log says that it serves.
  if (child.stderr !== null) await once(child.stderr, 'data');
  child.stderr?.resume();
  csi = connectCsi(process.cwd(), socket);
}

async function killCsi(): Promise<void> {
  csi.close();
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'px-csi-kill-'));
  fake = await startFakePxNode(join(process.cwd(), 'proto'));
  await startCsi();
});
afterEach(async () => {
  await killCsi();
  for (const path of await mountsBelow(dir)) await sh('umount', '-l', path);
  await fake.close();
  await rm(dir, { recursive: true, force: true });
});

/** Kills px-csi once at a random moment of the call, then repeats the call until it is done. */
async function killedOnce(random: () => number, call: () => Promise<unknown>): Promise<void> {
  const first = call().catch(() => undefined);
  const timer = new Promise((resolve) => setTimeout(resolve, random() * longestCallMs));
  await Promise.race([timer, first]);
  await killCsi();
  await first;
  await startCsi();
  for (let attempt = 1; ; attempt += 1) {
    try {
      await call();
      return;
    } catch (thrown) {
      // A child of the killed process (mkfs, mount) may still hold the device.
      if (attempt === 20) throw thrown;
      expect(['internal', 'unavailable', 'aborted', 'io_error']).toContain(toPxError(thrown).code);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

test.each(['ext4', 'xfs'])(
  `a px-csi that is killed loses no %s volume (seed ${seed})`,
  async (fs) => {
    const random = randomFrom(seed);
    const volume_capability = mountOf(fs);
    const created = await csi.controller.CreateVolume({
      name: 'v',
      capacity_range: { required_bytes: 1024 ** 3 },
      volume_capabilities: [volume_capability],
    });
    const volume_id = created.volume?.volume_id ?? '';
    const staging_target_path = join(dir, 'staging');
    const target_path = join(dir, 'pod', 'mount');
    const common = { volume_id, staging_target_path, volume_capability };
    for (let round = 0; round < rounds; round += 1) {
      await killedOnce(random, () => csi.node.NodeStageVolume(common));
      await killedOnce(random, () => csi.node.NodePublishVolume({ ...common, target_path }));
      const file = join(target_path, 'file');
      if (round > 0) expect(await readFile(file, 'utf8')).toBe(`round ${round - 1}`);
      await writeFile(file, `round ${round}`, { flush: true });
      await killedOnce(random, () => csi.node.NodeUnpublishVolume({ volume_id, target_path }));
      await killedOnce(random, () => csi.node.NodeUnstageVolume(common));
      expect(await mountsBelow(dir)).toEqual([]);
      expect(fake.devicePath(volume_id)).toBe('');
    }
  },
);
