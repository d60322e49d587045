import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import type { RegistrationDefinition } from '../gen/pluginregistration/Registration.js';
import type { ProtoGrpcType } from '../gen/pluginregistration.js';
import { PxError } from '../kernel/errors.js';
import type { NodeApi } from '../platform/grpc-client.js';
import { unaryClient } from '../platform/grpc-client.js';
import { createLogger } from '../platform/logger.js';
import { loadProto } from '../platform/proto.js';
import { startRegistration, whenNodeAnswers } from './registration.js';

const protoDir = join(process.cwd(), 'proto');
const logger = createLogger({ program: 'test', level: 'error', format: 'json' });

describe('registration with the kubelet', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'px-reg-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('tells name, socket and version, and passes a refusal on', async () => {
    const refused: string[] = [];
    let registered = 0;
    const server = await startRegistration({
      directory,
      kubeletSocketPath: '/var/lib/kubelet/plugins/d/csi.sock',
      driverName: 'pxd.portworx.com',
      protoDir,
      logger,
      onRegistered: () => registered++,
      onRefused: (reason) => refused.push(reason),
    });
    const loaded = loadProto(protoDir, 'pluginregistration.proto') as unknown as ProtoGrpcType;
    const { Registration } = loaded.pluginregistration;
    const socket = join(directory, 'pxd.portworx.com-reg.sock');
    // The kubelet's dialer names the socket's path, escaped, as authority.
    const client = new Registration(`unix://${socket}`, credentials.createInsecure(), {
      'grpc.default_authority': encodeURIComponent(socket),
    });
    const calls = unaryClient<RegistrationDefinition>(client, Registration.service, 'it', 5_000);
    await expect(calls.GetInfo({})).resolves.toEqual({
      type: 'CSIPlugin',
      name: 'pxd.portworx.com',
      endpoint: '/var/lib/kubelet/plugins/d/csi.sock',
      supported_versions: ['1.0.0'],
    });
    await calls.NotifyRegistrationStatus({ plugin_registered: true, error: '' });
    expect(refused).toEqual([]);
    expect(registered).toBe(1);
    await calls.NotifyRegistrationStatus({ plugin_registered: false, error: 'no such node' });
    expect(refused).toEqual(['no such node']);
    expect(registered).toBe(1);
    client.close();
    await server.close(1_000);
  });

  it('waits until px-node answers, and ends the wait when px-csi ends', async () => {
    let calls = 0;
    const px = {
      GetStatus: () =>
        ++calls < 2 ? Promise.reject(new PxError('unavailable', 'not yet')) : Promise.resolve({}),
    } as unknown as NodeApi;
    const stopping = new AbortController();
    await expect(whenNodeAnswers(px, logger, stopping.signal)).resolves.toBe(true);
    expect(calls).toBe(2);
    stopping.abort();
    await expect(whenNodeAnswers(px, logger, stopping.signal)).resolves.toBe(false);
    expect(calls).toBe(2);
  });
});
