import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeDefinition } from '../gen/px/v1/Node.js';
import type { ProtoGrpcType } from '../gen/px.js';
import { connectNode } from './grpc-client.js';
import { mutualTls, type MutualTls } from './grpc-credentials.js';
import { startGrpcServer, unaryService } from './grpc-server.js';
import { silentLogger } from './logger.js';
import { loadProto } from './proto.js';
import { TestAuthority } from './testing-certificates.js';
import { readTlsFiles } from './tls-files.js';

const protoDir = join(process.cwd(), 'proto');
const definition = (loadProto(protoDir, 'px.proto') as unknown as ProtoGrpcType).px.v1.Node.service;

describe('gRPC between nodes over TLS', () => {
  const directory = mkdtempSync(join(tmpdir(), 'px-grpc-tls-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('answers certificates of its authority and nobody else', async () => {
    const make = (authority: TestAuthority, name: string): MutualTls =>
      mutualTls(readTlsFiles(authority.issue(name)));
    const ours = new TestAuthority(join(directory, 'ours'));
    const theirs = new TestAuthority(join(directory, 'theirs'));
    const service = unaryService<Pick<NodeDefinition, 'GetVolume'>>(
      definition,
      { GetVolume: async () => ({ id: 'a' }) },
      silentLogger,
    );
    const credentials = make(ours, 'server').server;
    const socket = join(directory, 'node.sock');
    const running = await startGrpcServer({
      ...{ services: [service], listen: [`unix://${socket}`, '127.0.0.1:0'], credentials },
    });
    const call = async (address: string, client?: MutualTls): Promise<string> => {
      const options = { timeoutMs: 3_000, protoDir, credentials: client?.client };
      const node = connectNode(address, options);
      try {
        return (await node.GetVolume({ id_or_name: 'a' })).id;
      } finally {
        node.close();
      }
    };
    const tcp = `127.0.0.1:${running.ports[1]}`;
    expect(await call(tcp, make(ours, 'client'))).toBe('a');
    // The unix socket is for root of this machine, and stays as it is.
    expect(await call(socket)).toBe('a');
    const unavailable = { code: 'unavailable' };
    await expect(call(tcp)).rejects.toMatchObject(unavailable);
    await expect(call(tcp, make(theirs, 'client'))).rejects.toMatchObject(unavailable);
    const half = { ...readTlsFiles(theirs.issue('half')), ca: readTlsFiles(ours.issue('x')).ca };
    await expect(call(tcp, mutualTls(half))).rejects.toMatchObject(unavailable);
    await running.close(100);
  });
});
