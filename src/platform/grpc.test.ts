import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PxError } from '../kernel/errors.js';
import type { NodeDefinition } from '../gen/px/v1/Node.js';
import type { ProtoGrpcType } from '../gen/px.js';
import { connectNode } from './grpc-client.js';
import { startGrpcServer, unaryService, type RunningServer } from './grpc-server.js';
import { silentLogger } from './logger.js';
import { loadProto } from './proto.js';

const protoDir = join(process.cwd(), 'proto');
const definition = (loadProto(protoDir, 'px.proto') as unknown as ProtoGrpcType).px.v1.Node.service;

type GetOnly = Pick<NodeDefinition, 'GetVolume' | 'GetStatus'>;

function service() {
  return unaryService<GetOnly>(
    definition,
    {
      GetVolume: async (request) => {
        if (request.id_or_name === 'slow') await new Promise(() => undefined);
        if (request.id_or_name !== 'a') throw new PxError('fenced', 'a newer epoch exists');
        return { id: 'a', spec: { size_bytes: '9007199254740993' } };
      },
      GetStatus: () => {
        throw new PxError('kvdb_unavailable', 'etcd does not answer');
      },
    },
    silentLogger,
  );
}

let directory: string;
let running: RunningServer | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'px-grpc-'));
});
afterEach(async () => {
  await running?.close(100);
  running = undefined;
  rmSync(directory, { recursive: true, force: true });
});

describe('the gRPC helpers', () => {
  it('carry replies and the exact error code over a unix socket and TCP', async () => {
    const socket = join(directory, 'run', 'node.sock');
    running = await startGrpcServer({
      services: [service()],
      listen: [`unix://${socket}`, '127.0.0.1:0'],
    });
    for (const address of [`unix://${socket}`, `127.0.0.1:${running.ports[1]}`]) {
      const node = connectNode(address, { timeoutMs: 3_000, protoDir });
      const volume = await node.GetVolume({ id_or_name: 'a' });
      expect(volume.spec?.size_bytes).toBe('9007199254740993');
      await expect(node.GetVolume({ id_or_name: 'b' })).rejects.toMatchObject({
        code: 'fenced',
        message: 'a newer epoch exists',
      });
      await expect(node.GetStatus({})).rejects.toMatchObject({ code: 'kvdb_unavailable' });
      await expect(node.ListNodes({})).rejects.toMatchObject({ code: 'unimplemented' });
      node.close();
    }
  });

  it('end a call at its deadline and say when nobody answers', async () => {
    const socket = join(directory, 'node.sock');
    running = await startGrpcServer({ services: [service()], listen: [`unix://${socket}`] });
    const node = connectNode(socket, { timeoutMs: 3_000, protoDir });
    await expect(node.GetVolume({ id_or_name: 'slow' }, { timeoutMs: 200 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
    });
    node.close();
    const nobody = connectNode(join(directory, 'no.sock'), { timeoutMs: 3_000, protoDir });
    await expect(nobody.GetVolume({ id_or_name: 'a' })).rejects.toMatchObject({
      code: 'unavailable',
    });
    nobody.close();
  });

  it('replace the socket of a dead process but never that of a living one', async () => {
    const socket = join(directory, 'node.sock');
    const listen = [`unix://${socket}`];
    running = await startGrpcServer({ services: [service()], listen });
    await expect(startGrpcServer({ services: [service()], listen })).rejects.toMatchObject({
      code: 'failed_precondition',
    });
    await running.close(100);
    const dead = createServer().listen(socket);
    await new Promise((resolve) => dead.once('listening', resolve));
    // Node unlinks the file on close, so a second name keeps the dead socket.
    const { linkSync } = await import('node:fs');
    linkSync(socket, join(directory, 'kept'));
    await new Promise((resolve) => dead.close(resolve));
    linkSync(join(directory, 'kept'), socket);
    running = await startGrpcServer({ services: [service()], listen });
    const node = connectNode(socket, { timeoutMs: 3_000, protoDir });
    expect((await node.GetVolume({ id_or_name: 'a' })).id).toBe('a');
    node.close();
  });
});
