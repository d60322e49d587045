import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VolumeCapability } from '../../src/gen/csi/v1/VolumeCapability.js';
import { startCsiServer } from '../../src/csi/server.js';
import { connectNode, type NodeApi } from '../../src/platform/grpc-client.js';
import type { RunningServer } from '../../src/platform/grpc-server.js';
import { silentLogger, type Logger } from '../../src/platform/logger.js';
import { readMountInfo } from '../../src/platform/block/mountinfo.js';
import { runCommand } from '../../src/platform/run-command.js';
import { connectCsi, type CsiClients } from '../../tools/lib/grpc.js';
import { startFakePxNode, type FakePxNode } from './fake-px-node.js';

const timeoutMs = 30_000;
export const gib = 1024 ** 3;

/** The real CSI servers over the fake px-node, on the real kernel. */
export interface CsiHarness {
  readonly dir: string;
  readonly fake: FakePxNode;
  readonly csi: CsiClients;
  readonly stagingPath: string;
  target(name: string): string;
  /** As after a kill: a new server that remembers nothing. */
  restart(): Promise<void>;
  create(name: string, options?: CreateOptions): Promise<string>;
  stage(id: string, capability: VolumeCapability, path?: string): Promise<unknown>;
  publish(
    id: string,
    capability: VolumeCapability,
    name: string,
    readonly?: boolean,
  ): Promise<void>;
  close(): Promise<void>;
}

export interface CreateOptions {
  readonly capability?: VolumeCapability;
  readonly parameters?: Record<string, string>;
  readonly sizeBytes?: number;
  readonly fromSnapshot?: string;
  readonly fromVolume?: string;
}

export function mountOf(fsType: string, mode = 'SINGLE_NODE_WRITER'): VolumeCapability {
  return { mount: { fs_type: fsType }, access_mode: { mode } } as VolumeCapability;
}

export function blockOf(mode = 'SINGLE_NODE_WRITER'): VolumeCapability {
  return { block: {}, access_mode: { mode } } as VolumeCapability;
}

export async function sh(file: string, ...args: string[]): Promise<string> {
  return (await runCommand(file, args, { timeoutMs })).stdout.trim();
}

/** The mount points below a directory, as the kernel says, deepest last mounted first. */
export async function mountsBelow(dir: string): Promise<string[]> {
  const entries = await readMountInfo('/proc/self/mountinfo');
  return entries
    .map((entry) => entry.mountPoint)
    .filter((mountPoint) => mountPoint.startsWith(`${dir}/`))
    .reverse();
}

/** All CSI services on a socket, as `px-csi --mode all` has them. */
export function startCsiOn(
  px: NodeApi,
  protoDir: string,
  socket: string,
  logger: Logger = silentLogger,
): Promise<RunningServer> {
  return startCsiServer({
    mode: 'all',
    endpoint: `unix://${socket}`,
    driverName: 'pxd.portworx.com',
    version: '0',
    maxVolumesPerNode: 0,
    frontend: 'fuse',
    px,
    protoDir,
    run: runCommand,
    logger,
  });
}

export async function startHarness(logger: Logger = silentLogger): Promise<CsiHarness> {
  const rootDir = process.cwd();
  const protoDir = join(rootDir, 'proto');
  const dir = await mkdtemp(join(tmpdir(), 'px-csi-test-'));
  const fake = await startFakePxNode(protoDir);
  const socket = join(dir, 'csi.sock');
  const stagingPath = join(dir, 'staging');
  let px: NodeApi;
  let server: RunningServer;
  const start = async (): Promise<void> => {
    px = connectNode(fake.address, { timeoutMs: 5_000, protoDir });
    server = await startCsiOn(px, protoDir, socket, logger);
  };
  const stop = async (): Promise<void> => {
    await server.close(0);
    px.close();
  };
  await start();
  let csi = connectCsi(rootDir, socket);
  return {
    dir,
    fake,
    get csi() {
      return csi;
    },
    stagingPath,
    target: (name) => join(dir, 'pods', name, 'mount'),
    restart: async () => {
      csi.close();
      await stop();
      await start();
      csi = connectCsi(rootDir, socket);
    },
    create: async (name, options = {}) => {
      const source =
        options.fromSnapshot !== undefined
          ? { snapshot: { snapshot_id: options.fromSnapshot } }
          : options.fromVolume !== undefined
            ? { volume: { volume_id: options.fromVolume } }
            : undefined;
      const reply = await csi.controller.CreateVolume({
        name,
        capacity_range: { required_bytes: options.sizeBytes ?? gib },
        volume_capabilities: [options.capability ?? mountOf('ext4')],
        parameters: options.parameters ?? {},
        ...(source === undefined ? {} : { volume_content_source: source }),
      });
      return reply.volume?.volume_id ?? '';
    },
    stage: (id, capability, path = stagingPath) =>
      csi.node.NodeStageVolume({
        volume_id: id,
        staging_target_path: path,
        volume_capability: capability,
      }),
    publish: async (id, capability, name, readonly = false) => {
      await csi.node.NodePublishVolume({
        volume_id: id,
        staging_target_path: stagingPath,
        target_path: join(dir, 'pods', name, 'mount'),
        volume_capability: capability,
        readonly,
      });
    },
    close: async () => {
      csi.close();
      await stop();
      for (const path of await mountsBelow(dir)) await sh('umount', '-l', path);
      await fake.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
