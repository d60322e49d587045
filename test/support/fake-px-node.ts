import { mkdtemp, open, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeDefinition } from '../../src/gen/px/v1/Node.js';
import type { NodeStatus } from '../../src/gen/px/v1/NodeStatus.js';
import type { Volume } from '../../src/gen/px/v1/Volume.js';
import type { VolumeSpec__Output } from '../../src/gen/px/v1/VolumeSpec.js';
import type { ProtoGrpcType } from '../../src/gen/px.js';
import { PxError, type ErrorCode } from '../../src/kernel/errors.js';
import { startGrpcServer, unaryService } from '../../src/platform/grpc-server.js';
import type { UnaryHandlers } from '../../src/platform/grpc-server.js';
import { silentLogger } from '../../src/platform/logger.js';
import { loadProto } from '../../src/platform/proto.js';
import { runCommand } from '../../src/platform/run-command.js';

/**
 * A FAKE px-node: no cluster, no replication. It keeps volumes in memory and
 * attaches them as sparse files behind real loop devices, so that the CSI
 * servers' own work (mounting, formatting, idempotence) is tested on the real
 * kernel in seconds. What a volume keeps is only tested on the real px-node.
 */
type Served = Pick<
  NodeDefinition,
  | 'GetStatus'
  | 'ListNodes'
  | 'CreateVolume'
  | 'GetVolume'
  | 'ListVolumes'
  | 'DeleteVolume'
  | 'ResizeVolume'
  | 'UpdateVolume'
  | 'UpdateReplicas'
  | 'CreateSnapshot'
  | 'PublishVolume'
  | 'UnpublishVolume'
  | 'AttachVolume'
  | 'DetachVolume'
  | 'GetCapacity'
>;

interface FakeVolume {
  readonly id: string;
  readonly name: string;
  readonly file: string;
  spec: VolumeSpec__Output;
  readonly request: string;
  sizeBytes: number;
  readonly parentId: string;
  readonly readOnly: boolean;
  status: string;
  publishedOn: string;
  publishedReadOnly: boolean;
  devicePath: string;
}

export interface FakePxNode {
  readonly address: string;
  /** The next calls of this method are refused with this code. */
  fail(method: keyof Served, code: ErrorCode | undefined): void;
  /** Holds every call of this method until `release` is called. */
  hold(method: keyof Served): { reached: Promise<void>; release: () => void };
  setStatus(id: string, status: string): void;
  /** What a dead node leaves: the volume's device is gone, and another one comes at the next attach. */
  loseDevice(id: string): Promise<void>;
  devicePath(id: string): string;
  spec(id: string): VolumeSpec__Output;
  close(): Promise<void>;
}

const timeoutMs = 30_000;
const ownNode = 'fake-node-1';
const totalBytes = 64 * 1024 ** 3;

export async function startFakePxNode(protoDir: string): Promise<FakePxNode> {
  const directory = await mkdtemp(join(tmpdir(), 'px-fake-'));
  const volumes = new Map<string, FakeVolume>();
  const failures = new Map<string, ErrorCode>();
  const holds = new Map<string, { reached: () => void; released: Promise<void> }>();
  let counter = 0;

  const find = (idOrName: string): FakeVolume | undefined =>
    volumes.get(idOrName) ?? [...volumes.values()].find((volume) => volume.name === idOrName);
  const need = (idOrName: string): FakeVolume => {
    const volume = find(idOrName);
    if (volume === undefined) throw new PxError('not_found', `no volume "${idOrName}"`);
    return volume;
  };
  const detach = async (volume: FakeVolume): Promise<void> => {
    if (volume.devicePath === '') return;
    await runCommand('losetup', ['-d', volume.devicePath], { timeoutMs });
    volume.devicePath = '';
  };
  const make = async (
    name: string,
    spec: VolumeSpec__Output,
    sizeBytes: number,
    source: FakeVolume | undefined,
    readOnly: boolean,
  ): Promise<FakeVolume> => {
    counter += 1;
    const id = `fake-volume-${String(counter).padStart(6, '0')}`;
    const file = join(directory, id);
    if (source === undefined) await (await open(file, 'w')).close();
    else await runCommand('cp', ['--sparse=always', source.file, file], { timeoutMs });
    await truncate(file, sizeBytes);
    const volume: FakeVolume = {
      id,
      name,
      file,
      request: requestText(spec, source),
      spec: {
        ...spec,
        replicas: spec.replicas || 1,
        io_priority: spec.io_priority || 'low',
        io_profile: spec.io_profile || 'auto',
      },
      sizeBytes,
      parentId: source?.id ?? '',
      readOnly,
      status: 'up',
      publishedOn: '',
      publishedReadOnly: false,
      devicePath: '',
    };
    volumes.set(id, volume);
    return volume;
  };

  const handlers: UnaryHandlers<Served> = {
    GetStatus: async () => nodeStatus(1),
    ListNodes: async () => ({ nodes: [nodeStatus(1), nodeStatus(2), nodeStatus(3)] }),
    CreateVolume: async (request) => {
      const spec = request.spec;
      if (spec === null) throw new PxError('invalid_argument', 'no spec');
      const existing = find(request.name);
      if (existing !== undefined) {
        const from = volumes.get(request.from_volume_id);
        if (existing.request === requestText(spec, from)) return message(existing);
        throw new PxError('already_exists', 'the fake has another volume of that name');
      }
      const source = request.from_volume_id === '' ? undefined : need(request.from_volume_id);
      return message(await make(request.name, spec, Number(spec.size_bytes), source, false));
    },
    GetVolume: async (request) => message(need(request.id_or_name)),
    ListVolumes: async (request) => {
      const all = [...volumes.values()]
        .filter((volume) => !request.only_snapshots || volume.readOnly)
        .filter((volume) => !request.no_snapshots || !volume.readOnly)
        .filter((volume) => request.parent_id === '' || volume.parentId === request.parent_id)
        .filter((volume) => volume.id > request.starting_token)
        .sort((a, b) => (a.id < b.id ? -1 : 1));
      const most = request.max_entries === 0 ? all.length : request.max_entries;
      const page = all.slice(0, most);
      const next = all.length > most ? (page.at(-1)?.id ?? '') : '';
      return { volumes: page.map(message), next_token: next };
    },
    DeleteVolume: async (request) => {
      const volume = find(request.id_or_name);
      if (volume === undefined) return {};
      if (volume.devicePath !== '') throw new PxError('failed_precondition', 'it is attached');
      volumes.delete(volume.id);
      await rm(volume.file, { force: true });
      return {};
    },
    ResizeVolume: async (request) => {
      const volume = need(request.id_or_name);
      volume.sizeBytes = Number(request.size_bytes);
      await truncate(volume.file, volume.sizeBytes);
      if (volume.devicePath !== '') {
        await runCommand('losetup', ['-c', volume.devicePath], { timeoutMs });
      }
      return message(volume);
    },
    UpdateVolume: async (request) => {
      const volume = need(request.id_or_name);
      const given = Object.entries(request).filter(([key]) => key in volume.spec);
      volume.spec = { ...volume.spec, ...Object.fromEntries(given) };
      return message(volume);
    },
    UpdateReplicas: async (request) => {
      const volume = need(request.id_or_name);
      volume.spec = { ...volume.spec, replicas: request.count };
      return message(volume);
    },
    CreateSnapshot: async (request) => {
      const source = need(request.volume_id_or_name);
      const existing = find(request.name);
      if (existing !== undefined) return message(existing);
      await runCommand('sync', ['-f', source.file], { timeoutMs });
      return message(await make(request.name, source.spec, source.sizeBytes, source, true));
    },
    PublishVolume: async (request) => {
      const volume = need(request.id_or_name);
      if (volume.publishedOn !== '' && volume.publishedOn !== request.node_id) {
        throw new PxError('failed_precondition', `published to "${volume.publishedOn}"`);
      }
      volume.publishedOn = request.node_id;
      volume.publishedReadOnly = request.read_only;
      return message(volume);
    },
    UnpublishVolume: async (request) => {
      const volume = need(request.id_or_name);
      if (volume.publishedOn === request.node_id) volume.publishedOn = '';
      return message(volume);
    },
    AttachVolume: async (request) => {
      const volume = need(request.id_or_name);
      if (volume.publishedOn !== '' && volume.publishedOn !== ownNode) {
        throw new PxError('failed_precondition', `published to "${volume.publishedOn}"`);
      }
      if (volume.devicePath === '') {
        const readOnly = request.read_only || volume.readOnly ? ['-r'] : [];
        const args = ['-f', '--show', '-b', '4096', ...readOnly, volume.file];
        volume.devicePath = (await runCommand('losetup', args, { timeoutMs })).stdout.trim();
      }
      return { device_path: volume.devicePath, size_bytes: volume.sizeBytes };
    },
    DetachVolume: async (request) => {
      const volume = find(request.id_or_name);
      if (volume !== undefined) await detach(volume);
      return {};
    },
    GetCapacity: async (request) => ({
      available_bytes: totalBytes * request.topology.length,
      maximum_volume_bytes: totalBytes,
      total_bytes: totalBytes * request.topology.length,
    }),
  };

  const guarded = Object.fromEntries(
    Object.entries(handlers).map(([name, handler]) => [
      name,
      async (request: never, context: never) => {
        const code = failures.get(name);
        if (code !== undefined) throw new PxError(code, `the fake refuses ${name}`);
        const held = holds.get(name);
        held?.reached();
        await held?.released;
        return (handler as (request: never, context: never) => Promise<unknown>)(request, context);
      },
    ]),
  ) as unknown as UnaryHandlers<Served>;
  const definition = (loadProto(protoDir, 'px.proto') as unknown as ProtoGrpcType).px.v1.Node
    .service;
  const address = `unix://${join(directory, 'px-node.sock')}`;
  const server = await startGrpcServer({
    services: [unaryService<Served>(definition, guarded, silentLogger)],
    listen: [address],
  });

  return {
    address,
    fail: (method, code) => {
      if (code === undefined) failures.delete(method);
      else failures.set(method, code);
    },
    hold: (method) => {
      let reached = (): void => undefined;
      let release = (): void => undefined;
      const whenReached = new Promise<void>((resolve) => (reached = resolve));
      const released = new Promise<void>((resolve) => (release = resolve));
      holds.set(method, { reached, released });
      return {
        reached: whenReached,
        release: () => {
          holds.delete(method);
          release();
        },
      };
    },
    setStatus: (id, status) => {
      need(id).status = status;
    },
    loseDevice: async (id) => {
      const volume = need(id);
      // The kernel keeps the loop device for whoever has it mounted; nobody finds it again.
      await runCommand('losetup', ['-d', volume.devicePath], { timeoutMs });
      volume.devicePath = '';
    },
    devicePath: (id) => need(id).devicePath,
    spec: (id) => need(id).spec,
    close: async () => {
      await server.close(1_000);
      for (const volume of volumes.values()) await detach(volume);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function requestText(spec: VolumeSpec__Output, source: FakeVolume | undefined): string {
  return JSON.stringify([spec, source?.id ?? '']);
}

function nodeStatus(number: number): NodeStatus {
  return {
    id: `fake-node-${number}`,
    name: `n${number}`,
    cluster_id: 'fake',
    version: '0',
    state: 'operational',
    zone: `zone-${number}`,
    region: 'region-1',
    rack: '',
  };
}

function message(volume: FakeVolume): Volume {
  return {
    id: volume.id,
    name: volume.name,
    spec: { ...volume.spec, size_bytes: String(volume.sizeBytes) },
    created_at: '2026-01-02T03:04:05.678Z',
    status: volume.status,
    state: volume.devicePath === '' ? 'detached' : 'attached',
    attached_on: volume.devicePath === '' ? '' : ownNode,
    device_path: volume.devicePath,
    published_on: volume.publishedOn,
    published_read_only: volume.publishedReadOnly,
    read_only: volume.readOnly,
    parent_id: volume.parentId,
    replicas: [{ id: 'r1', node_id: ownNode, pool_id: 'p', state: 'in_sync' }],
  };
}
