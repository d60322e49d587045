import { chmodSync } from 'node:fs';
import {
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { PxError, toPxError } from '../kernel/errors.js';
import { toGrpcStatus } from './grpc-errors.js';
import type { Logger } from './logger.js';
import { removeStaleSocket } from './stale-socket.js';

export interface CallContext {
  readonly method: string;
  readonly peer: string;
  /** True once the caller gave up or its deadline passed. */
  cancelled(): boolean;
  /** A metadata entry of the call, '' when absent. */
  metadata(name: string): string;
}

interface ServerMethod<Request, Reply> {
  requestDeserialize: (bytes: Buffer) => Request;
  responseSerialize: (value: Reply) => Buffer;
}

/** A promise for every unary method; throw a PxError to refuse. */
export type UnaryHandlers<Definition> = {
  readonly [
    Name in keyof Definition as string extends Name ? never : Name
  ]: Definition[Name] extends ServerMethod<infer Request, infer Reply>
    ? (request: Request, context: CallContext) => Promise<Reply>
    : never;
};

export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export interface GrpcServerOptions {
  readonly services: readonly GrpcService[];
  /** `unix:///path` or `host:port` (port 0: any). */
  readonly listen: readonly string[];
  readonly credentials?: ServerCredentials;
}

export interface RunningServer {
  /** The TCP ports in the order of `listen`; 0 for a unix socket. */
  readonly ports: readonly number[];
  /** Lets calls at work end, for at most this long. */
  close(graceMs: number): Promise<void>;
}

const serverOptions = {
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  // Clients ping every 4 s; grpc's default would call that too many pings.
  'grpc.http2.min_ping_interval_without_data_ms': 1_000,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 5_000,
} as const;

/** Turns promise handlers into what grpc-js wants, with logging and error mapping. */
export function unaryService<Definition>(
  definition: ServiceDefinition,
  handlers: UnaryHandlers<Definition>,
  logger: Logger,
): GrpcService {
  const implementation: UntypedServiceImplementation = {};
  for (const [name, handler] of Object.entries(handlers)) {
    const run = handler as (request: unknown, context: CallContext) => Promise<unknown>;
    implementation[name] = (
      call: ServerUnaryCall<unknown, unknown>,
      callback: sendUnaryData<unknown>,
    ) => {
      const startedMs = performance.now();
      const context: CallContext = {
        method: name,
        peer: call.getPeer(),
        cancelled: () => call.cancelled,
        metadata: (key) => String(call.metadata.get(key)[0] ?? ''),
      };
      // A handler that throws before its first await must not take the server down.
      new Promise((resolve) => resolve(run(call.request, context))).then(
        (reply) => {
          const tookMs = Math.round(performance.now() - startedMs);
          logger.debug('call done', { method: name, tookMs, request: call.request });
          callback(null, reply);
        },
        (thrown: unknown) => {
          logFailure(logger, name, thrown, performance.now() - startedMs, call.request);
          callback(toGrpcStatus(thrown));
        },
      );
    };
  }
  return { definition, implementation };
}

function logFailure(
  logger: Logger,
  method: string,
  thrown: unknown,
  tookMs: number,
  request: unknown,
): void {
  const error = toPxError(thrown);
  const fields = { method, tookMs: Math.round(tookMs), code: error.code, request };
  if (error.code === 'internal' || error.code === 'io_error') {
    logger.error(`call failed: ${error.message}`, { ...fields, stack: error.stack });
  } else {
    logger.info(`call refused: ${error.message}`, fields);
  }
}

export async function startGrpcServer(options: GrpcServerOptions): Promise<RunningServer> {
  const server = new Server(serverOptions);
  for (const service of options.services) {
    server.addService(service.definition, service.implementation);
  }
  const ports: number[] = [];
  try {
    for (const address of options.listen) {
      const path = unixPath(address);
      if (path !== undefined) await removeStaleSocket(path);
      const bound = await bind(
        server,
        address,
        path === undefined && options.credentials !== undefined
          ? options.credentials
          : ServerCredentials.createInsecure(),
      );
      ports.push(path === undefined ? bound : 0);
      // Whoever can open the socket can attach and delete volumes.
      if (path !== undefined) chmodSync(path, 0o600);
    }
  } catch (error) {
    server.forceShutdown();
    throw error;
  }
  return { ports, close: (graceMs) => closeServer(server, graceMs) };
}

function bind(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (error === null) resolve(port);
      else {
        reject(
          new PxError('unavailable', `cannot listen on ${address}: ${error.message}`, {}, error),
        );
      }
    });
  });
}

function closeServer(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, graceMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function unixPath(address: string): string | undefined {
  if (address.startsWith('unix://')) return address.slice('unix://'.length);
  if (address.startsWith('unix:')) return address.slice('unix:'.length);
  return undefined;
}
