import { createServer, type Server, type ServerResponse } from 'node:http';
import { credentials } from '@grpc/grpc-js';
import type { ProtoGrpcType } from '../gen/csi.js';
import type { IdentityDefinition } from '../gen/csi/v1/Identity.js';
import { PxError, toPxError } from '../kernel/errors.js';
import { clientChannelOptions, unaryClient, type UnaryClient } from '../platform/grpc-client.js';
import { loadProto } from '../platform/proto.js';

const probeTimeoutMs = 4_000;

export interface HealthServer {
  close(): void;
}

/**
 * `/healthz`: the CSI socket answers. `/readyz`: and px-node behind it does.
 * A px-node that is away must not restart px-csi, so the two differ.
 * Asked through the socket itself: a server that no longer listens is not well.
 */
export async function startHealthServer(options: {
  readonly port: number;
  readonly endpoint: string;
  readonly protoDir: string;
}): Promise<HealthServer> {
  const loaded = loadProto(options.protoDir, 'csi.proto') as unknown as ProtoGrpcType;
  const client = new loaded.csi.v1.Identity(
    options.endpoint,
    credentials.createInsecure(),
    clientChannelOptions,
  );
  const identity = unaryClient<IdentityDefinition>(
    client,
    loaded.csi.v1.Identity.service,
    'the CSI socket',
    probeTimeoutMs,
  );
  const server = createServer((request, response) => {
    if (request.url === '/healthz') void answer(response, probe(identity, false));
    else if (request.url === '/readyz') void answer(response, probe(identity, true));
    else response.writeHead(404).end('only /healthz and /readyz are here\n');
  });
  await listen(server, options.port);
  return {
    close: () => {
      server.closeAllConnections();
      server.close();
      client.close();
    },
  };
}

async function probe(identity: UnaryClient<IdentityDefinition>, withNode: boolean): Promise<void> {
  const { ready } = await identity.Probe({});
  if (withNode && ready?.value === false) throw new PxError('unavailable', 'px-node is not ready');
}

async function answer(response: ServerResponse, check: Promise<void>): Promise<void> {
  try {
    await check;
    response.writeHead(200).end('ok\n');
  } catch (thrown) {
    response.writeHead(503).end(`${toPxError(thrown).message}\n`);
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(new PxError('unavailable', `--health-port ${port}: ${error.message}`, {}, error));
    });
    server.listen(port, () => resolve());
  });
}
