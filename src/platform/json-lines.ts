import { createConnection, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { errorCodes, PxError, toPxError } from '../kernel/errors.js';
import type { ErrorCode, ErrorFields } from '../kernel/errors.js';
import { removeStaleSocket } from './stale-socket.js';

/**
 * Requests between the processes of one node: one JSON object a line over a
 * unix socket, `{id, method, params}` answered by `{id, result}` or
 * `{id, error: {code, message, fields}}`, in any order.
 */
export type JsonLinesHandler = (method: string, params: unknown) => Promise<unknown>;

export interface JsonLinesServer {
  close(): Promise<void>;
}

/** A line longer than this is no request of ours; it would only fill the memory. */
const maxLineBytes = 64 * 1024 * 1024;

export async function serveJsonLines(
  path: string,
  handler: JsonLinesHandler,
): Promise<JsonLinesServer> {
  await removeStaleSocket(path);
  const connections = new Set<Socket>();
  const server = createServer((socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
    // A peer that goes away takes its answers with it; there is nothing else to do.
    socket.on('error', () => socket.destroy());
    onLine(socket, (line) => void answer(socket, line, handler));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const connection of connections) connection.destroy();
      }),
  };
}

async function answer(socket: Socket, line: string, handler: JsonLinesHandler): Promise<void> {
  let id: unknown = null;
  try {
    const request = JSON.parse(line) as { id?: unknown; method?: unknown; params?: unknown };
    id = request.id;
    if (typeof request.method !== 'string') {
      throw new PxError('invalid_argument', 'a request needs a method');
    }
    const result = await handler(request.method, request.params ?? {});
    writeLine(socket, { id, result: result ?? {} });
  } catch (thrown) {
    const { code, message, fields } = toPxError(thrown);
    writeLine(socket, { id, error: { code, message, fields } });
  }
}

/** One request on a connection of its own; rejects with the other side's PxError or `unavailable`. */
export function callJsonLines(
  path: string,
  method: string,
  params: unknown,
  timeoutMs: number,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    const fail = (error: PxError): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => {
      fail(new PxError('deadline_exceeded', `${method}: no answer on ${path} in ${timeoutMs} ms`));
    }, timeoutMs);
    socket.on('error', (error) => {
      fail(new PxError('unavailable', `${method}: ${path}: ${error.message}`));
    });
    socket.on('close', () => {
      fail(new PxError('unavailable', `${method}: ${path} was closed before it answered`));
    });
    socket.on('connect', () => writeLine(socket, { id: 1, method, params }));
    onLine(socket, (line) => {
      try {
        resolve(readAnswer(line));
      } catch (thrown) {
        reject(toPxError(thrown));
      }
      clearTimeout(timer);
      socket.destroy();
    });
  });
}

function readAnswer(line: string): unknown {
  const answerLine = JSON.parse(line) as {
    result?: unknown;
    error?: { code?: string; message?: string; fields?: ErrorFields };
  };
  if (answerLine.error === undefined) return answerLine.result;
  const { code, message, fields } = answerLine.error;
  const known = errorCodes.find((candidate) => candidate === code);
  throw new PxError(known ?? ('internal' satisfies ErrorCode), message ?? 'unknown', fields ?? {});
}

function onLine(socket: Socket, handler: (line: string) => void): void {
  let pending = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = (pending + text).split('\n');
    pending = lines.pop() ?? '';
    if (pending.length > maxLineBytes) socket.destroy();
    for (const line of lines) handler(line);
  });
}

function writeLine(socket: Socket, message: unknown): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`);
}
