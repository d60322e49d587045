import path from 'node:path';
import { credentials, type Client, type ServiceClientConstructor } from '@grpc/grpc-js';
import type { ControllerDefinition } from '../../src/gen/csi/v1/Controller.js';
import type { IdentityDefinition } from '../../src/gen/csi/v1/Identity.js';
import type { NodeDefinition as CsiNodeDefinition } from '../../src/gen/csi/v1/Node.js';
import {
  clientChannelOptions,
  connectNode,
  unaryClient,
  type NodeApi,
  type UnaryClient,
} from '../../src/platform/grpc-client.js';
import { loadProto } from '../../src/platform/proto.js';

/** Calls the CSI servers as Kubernetes' sidecars and the kubelet do: over their unix socket. */
export interface CsiClients {
  readonly identity: UnaryClient<IdentityDefinition>;
  readonly controller: UnaryClient<ControllerDefinition>;
  readonly node: UnaryClient<CsiNodeDefinition>;
  close(): void;
}

/** The sidecars' own default bound of a call is 15 s; staging may format a large device. */
const timeoutMs = 60_000;

export function connectPx(rootDir: string, socket: string): NodeApi {
  return connectNode(`unix:${socket}`, { timeoutMs, protoDir: path.join(rootDir, 'proto') });
}

export function connectCsi(rootDir: string, socket: string): CsiClients {
  const loaded = loadProto(path.join(rootDir, 'proto'), 'csi.proto') as unknown as {
    csi: { v1: Record<'Identity' | 'Controller' | 'Node', ServiceClientConstructor> };
  };
  const clients: Client[] = [];
  const connect = <Definition>(service: ServiceClientConstructor): UnaryClient<Definition> => {
    const client = new service(
      `unix:${socket}`,
      credentials.createInsecure(),
      clientChannelOptions,
    );
    clients.push(client);
    return unaryClient<Definition>(client, service.service, `px-csi at ${socket}`, timeoutMs);
  };
  const { Identity, Controller, Node } = loaded.csi.v1;
  return {
    identity: connect<IdentityDefinition>(Identity),
    controller: connect<ControllerDefinition>(Controller),
    node: connect<CsiNodeDefinition>(Node),
    close: () => clients.forEach((client) => client.close()),
  };
}
