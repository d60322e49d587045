import {
  credentials,
  Metadata,
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type MethodDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import type { NodeDefinition } from '../gen/px/v1/Node.js';
import type { ProtoGrpcType } from '../gen/px.js';
import { fromGrpcError } from './grpc-errors.js';
import { loadProto } from './proto.js';

export interface UnaryCallOptions {
  /** Overrides the client's time bound for this call. */
  readonly timeoutMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

interface ClientMethod<Request, Reply> {
  requestSerialize: (value: Request) => Buffer;
  responseDeserialize: (bytes: Buffer) => Reply;
}

/** Every unary method of a service as a promise; errors are PxErrors. */
export type UnaryClient<Definition> = {
  readonly [
    Name in keyof Definition as string extends Name ? never : Name
  ]: Definition[Name] extends ClientMethod<infer Request, infer Reply>
    ? (request: Request, options?: UnaryCallOptions) => Promise<Reply>
    : never;
};

export type NodeApi = UnaryClient<NodeDefinition> & {
  readonly address: string;
  close(): void;
};

export interface ConnectOptions {
  /** The time bound of a call that gives none of its own. */
  readonly timeoutMs: number;
  readonly protoDir: string;
  readonly credentials?: ChannelCredentials;
}

/**
 * A peer that froze answers no ping, so a call to it fails after
 * time + timeout instead of at its own deadline.
 */
export const clientChannelOptions = {
  'grpc.keepalive_time_ms': 4_000,
  'grpc.keepalive_timeout_ms': 2_000,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
} as const;

/** An address must not be the server's name in TLS (RFC 6066), and nodes have no other. */
const tlsChannelOptions = {
  ...clientChannelOptions,
  'grpc.ssl_target_name_override': 'px-node',
} as const;

/** Connects to a px-node: `unix:///run/px/px-node.sock` or `host:port`. Connects lazily. */
export function connectNode(address: string, options: ConnectOptions): NodeApi {
  const loaded = loadProto(options.protoDir, 'px.proto') as unknown as ProtoGrpcType;
  const client = new loaded.px.v1.Node(
    grpcTarget(address),
    options.credentials ?? credentials.createInsecure(),
    options.credentials === undefined ? clientChannelOptions : tlsChannelOptions,
  );
  const methods = unaryClient<NodeDefinition>(
    client,
    loaded.px.v1.Node.service,
    `px-node at ${address}`,
    options.timeoutMs,
  );
  return { ...methods, address, close: () => client.close() };
}

/** Makes promise methods for every unary method of a service. */
export function unaryClient<Definition>(
  client: Client,
  definition: object,
  peer: string,
  timeoutMs: number,
): UnaryClient<Definition> {
  const methods: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(
    definition as Record<string, MethodDefinition<object, object>>,
  )) {
    methods[name] = (request: object, options: UnaryCallOptions = {}) =>
      callUnary(client, method, request, { timeoutMs, ...options }, peer);
  }
  return methods as UnaryClient<Definition>;
}

function callUnary(
  client: Client,
  method: MethodDefinition<object, object>,
  request: object,
  options: UnaryCallOptions & { readonly timeoutMs: number },
  peer: string,
): Promise<object> {
  return new Promise((resolve, reject) => {
    const callOptions: CallOptions = { deadline: Date.now() + options.timeoutMs };
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
      callOptions,
      (error: ServiceError | null, reply?: object) => {
        if (error !== null) reject(fromGrpcError(error, peer));
        else resolve(reply ?? {});
      },
    );
  });
}

/** grpc-js wants `unix:` before a path; a bare absolute path is accepted too. */
export function grpcTarget(address: string): string {
  return address.startsWith('/') ? `unix://${address}` : address;
}
