import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { ClientRequest } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import { PxError } from '../../kernel/errors.js';
import type { KubeConnection } from './connection.js';

export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: object;
  readonly contentType?: string;
  readonly timeoutMs: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly json: unknown;
  /** From Retry-After. */
  readonly retryAfterMs?: number;
}

export interface LineStream {
  /** Every line of the answer until the server ends it; fails when it breaks. */
  readonly done: Promise<void>;
  abort(reason: PxError): void;
}

/** Calls at once; more wait for a connection. */
const maxSockets = 8;

/**
 * JSON over HTTP to the API server, and streams of lines for watches. Plain
 * requests: the client library's own would take another 75 MB.
 */
export class KubeHttp {
  private readonly calls: HttpAgent;
  private readonly streams: HttpAgent;

  constructor(
    private readonly connection: KubeConnection,
    private readonly onAnswer: (method: string, status: number) => void = () => undefined,
  ) {
    const Agent = connection.server.protocol === 'http:' ? HttpAgent : HttpsAgent;
    // A peer that vanished without a word is found by TCP itself, and by the time bounds.
    const common = { ...connection.tls, keepAlive: true, keepAliveMsecs: 15_000 };
    this.calls = new Agent({ ...common, maxSockets, scheduling: 'lifo', timeout: 90_000 });
    // A watch has a connection of its own for as long as it lasts.
    this.streams = new Agent({ ...connection.tls, keepAlive: false });
  }

  async call(call: HttpCall): Promise<HttpAnswer> {
    const first = await this.callOnce(call, false);
    // The token may have been replaced just now.
    return first.status === 401 ? this.callOnce(call, true) : first;
  }

  private async callOnce(call: HttpCall, fresh: boolean): Promise<HttpAnswer> {
    const authorization = await this.authorization(fresh);
    return new Promise((resolve, reject) => {
      const request = this.open(call, authorization, this.calls);
      const timer = setTimeout(() => {
        request.destroy(
          new PxError('unavailable', `the API server did not answer in ${call.timeoutMs} ms`),
        );
      }, call.timeoutMs);
      const fail = (error: Error): void => {
        clearTimeout(timer);
        this.onAnswer(call.method, 0);
        reject(unavailable(error));
      };
      request.on('error', fail);
      request.on('response', (response) => {
        readAll(response).then((text) => {
          clearTimeout(timer);
          this.onAnswer(call.method, response.statusCode ?? 0);
          resolve(answerOf(response, text));
        }, fail);
      });
      const body = call.body === undefined ? undefined : JSON.stringify(call.body);
      // Node.js frames a body by itself, but not that of a DELETE, which would
      // then be read as the next request on the connection.
      if (body !== undefined) request.setHeader('content-length', Buffer.byteLength(body));
      request.end(body);
    });
  }

  /** Starts a watch; `refused` turns an answer other than 200 into the error of `done`. */
  stream(
    call: Omit<HttpCall, 'body' | 'contentType'>,
    onLine: (line: string) => void,
    refused: (answer: HttpAnswer) => PxError,
  ): LineStream {
    let request: ClientRequest | undefined;
    let aborted: PxError | undefined;
    const done = this.authorization(false).then(
      (authorization) =>
        new Promise<void>((resolve, reject) => {
          if (aborted !== undefined) return reject(aborted);
          request = this.open(call, authorization, this.streams);
          // Only until the headers are here: then the caller watches over it.
          const timer = setTimeout(() => {
            request?.destroy(new PxError('unavailable', 'the API server did not start the watch'));
          }, call.timeoutMs);
          request.on('error', (error) => {
            clearTimeout(timer);
            reject(aborted ?? unavailable(error));
          });
          request.on('response', (response) => {
            clearTimeout(timer);
            this.onAnswer('WATCH', response.statusCode ?? 0);
            const ended =
              response.statusCode === 200
                ? readLines(response, onLine)
                : readAll(response).then((text) => {
                    throw refused(answerOf(response, text));
                  });
            ended.then(resolve, (error: Error) => reject(aborted ?? unavailable(error)));
          });
          request.end();
        }),
    );
    return {
      done,
      abort: (reason) => {
        aborted = reason;
        request?.destroy(reason);
      },
    };
  }

  close(): void {
    this.calls.destroy();
    this.streams.destroy();
  }

  private async authorization(fresh: boolean): Promise<string | undefined> {
    try {
      return await this.connection.authorization(fresh);
    } catch (error) {
      throw new PxError('unavailable', 'the token of the ServiceAccount cannot be read', {}, error);
    }
  }

  private open(call: HttpCall, authorization: string | undefined, agent: HttpAgent): ClientRequest {
    const { server } = this.connection;
    const base = server.pathname.replace(/\/$/, '');
    const headers = {
      accept: 'application/json',
      'user-agent': 'px-operator',
      ...(authorization === undefined ? {} : { authorization }),
      ...(call.body === undefined
        ? {}
        : { 'content-type': call.contentType ?? 'application/json' }),
    };
    const send = server.protocol === 'http:' ? httpRequest : httpsRequest;
    return send({
      host: server.hostname.replace(/^\[|\]$/g, ''),
      port: server.port === '' ? undefined : server.port,
      path: `${base}${call.path}${queryOf(call.query ?? {})}`,
      method: call.method,
      headers,
      agent,
    });
  }
}

function queryOf(query: NonNullable<HttpCall['query']>): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) given.set(name, String(value));
  }
  return given.size === 0 ? '' : `?${given.toString()}`;
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function readLines(response: IncomingMessage, onLine: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    response.on('data', (chunk: Buffer) => {
      const lines = (rest + decoder.write(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') onLine(line);
    });
    response.on('end', resolve);
    response.on('error', reject);
    response.on('close', () => {
      if (!response.complete) reject(new PxError('unavailable', 'the watch was cut off'));
    });
  });
}

function answerOf(response: IncomingMessage, text: string): HttpAnswer {
  const seconds = Number(response.headers['retry-after']);
  let json: unknown;
  try {
    json = text === '' ? undefined : JSON.parse(text);
  } catch {
    // A proxy between us, or a server that is still starting, speaks plain text.
    json = { message: text.slice(0, 500) };
  }
  return {
    status: response.statusCode ?? 0,
    json,
    ...(Number.isFinite(seconds) ? { retryAfterMs: seconds * 1_000 } : {}),
  };
}

function unavailable(error: unknown): PxError {
  if (error instanceof PxError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new PxError('unavailable', `the API server does not answer: ${reason}`, {}, error);
}
