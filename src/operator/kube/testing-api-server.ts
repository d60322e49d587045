import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubeObject } from '../ports.js';

interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly version: number;
  readonly object: KubeObject;
}

export interface SeenRequest {
  readonly method: string;
  readonly url: URL;
  readonly contentType: string | undefined;
  readonly body: unknown;
}

const collections = /\/(configmaps|pods|leases|events)$/;

type Answer = readonly [status: number, body: object, headers?: Readonly<Record<string, string>>];

/**
 * As much of an API server as the client's tests need, over real HTTP: objects
 * with versions, lists in pages, watches with history, and every way to go wrong.
 */
export class TestingApiServer {
  readonly seen: SeenRequest[] = [];
  /** Answers the next request instead of the server. */
  readonly instead: ((request: SeenRequest) => Answer | 'cut' | undefined)[] = [];
  private readonly objects = new Map<string, KubeObject>();
  private history: Change[] = [];
  private readonly watches = new Set<ServerResponse>();
  private version = 100;
  private forgottenUpTo = 0;
  private waiters: (() => void)[] = [];
  private server: Server;

  private constructor(private port: number) {
    this.server = this.listener();
  }

  static async start(): Promise<TestingApiServer> {
    const started = new TestingApiServer(0);
    await started.restart();
    return started;
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${this.port}`);
  }

  get openWatches(): number {
    return this.watches.size;
  }

  async restart(): Promise<void> {
    this.server = this.listener();
    await new Promise<void>((resolve) => this.server.listen(this.port, '127.0.0.1', resolve));
    this.port = (this.server.address() as AddressInfo).port;
  }

  /** As a crash: every connection breaks, and nobody listens. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    this.watches.clear();
    await closed;
  }

  put(path: string, object: KubeObject): KubeObject {
    const key = `${path}/${object.metadata.name}`;
    const before = this.objects.get(key);
    this.version += 1;
    const stored = {
      ...object,
      metadata: {
        ...object.metadata,
        uid: object.metadata.uid ?? before?.metadata.uid ?? `uid-${this.version}`,
        resourceVersion: String(this.version),
      },
    };
    this.objects.set(key, stored);
    this.record(before === undefined ? 'ADDED' : 'MODIFIED', stored);
    return stored;
  }

  remove(path: string, name: string): void {
    const key = `${path}/${name}`;
    const before = this.objects.get(key);
    if (before === undefined) return;
    this.objects.delete(key);
    this.version += 1;
    const metadata = { ...before.metadata, resourceVersion: String(this.version) };
    this.record('DELETED', { ...before, metadata });
  }

  /** What etcd's compaction does: watches from before now are answered with 410. */
  forgetHistory(): void {
    this.history = [];
    this.forgottenUpTo = this.version;
  }

  bookmark(): void {
    this.version += 1;
    this.send({
      type: 'BOOKMARK',
      object: { kind: 'ConfigMap', metadata: { resourceVersion: String(this.version) } },
    });
  }

  /** An error inside of a watch, as the API server sends it. */
  sendError(code: number): void {
    this.send({ type: 'ERROR', object: { kind: 'Status', code, message: `error ${code}` } });
  }

  endWatches(): void {
    for (const watch of this.watches) watch.end();
    this.watches.clear();
  }

  cutWatches(): void {
    for (const watch of this.watches) watch.destroy();
    this.watches.clear();
  }

  /** Resolves once so many watches are open. */
  async watched(count: number): Promise<void> {
    while (this.watches.size < count) {
      await new Promise<void>((resolve) => this.waiters.push(resolve));
    }
  }

  requests(method: string, predicate: (url: URL) => boolean = () => true): SeenRequest[] {
    return this.seen.filter((one) => one.method === method && predicate(one.url));
  }

  private record(type: Change['type'], object: KubeObject): void {
    this.history.push({ type, version: this.version, object });
    this.send({ type, object });
  }

  private send(event: object): void {
    for (const watch of this.watches) watch.write(`${JSON.stringify(event)}\n`);
  }

  private listener(): Server {
    return createServer((request, response) => void this.serve(request, response));
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const seen: SeenRequest = {
      method: request.method ?? '',
      url: new URL(request.url ?? '', 'http://api'),
      contentType: request.headers['content-type'],
      body: text === '' ? undefined : JSON.parse(text),
    };
    this.seen.push(seen);
    const instead = this.instead[0]?.(seen);
    if (instead !== undefined) this.instead.shift();
    if (instead === 'cut') request.socket.destroy();
    else if (instead !== undefined) reply(response, instead);
    else if (seen.url.searchParams.get('watch') === 'true') this.watch(seen, response);
    else reply(response, this.answer(seen));
  }

  private watch({ url }: SeenRequest, response: ServerResponse): void {
    const from = Number(url.searchParams.get('resourceVersion'));
    if (from < this.forgottenUpTo) {
      reply(response, status(410, 'Expired', 'too old resource version'));
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const { type, version, object } of this.history) {
      if (version > from) response.write(`${JSON.stringify({ type, object })}\n`);
    }
    this.watches.add(response);
    response.on('close', () => this.watches.delete(response));
    for (const waiter of this.waiters.splice(0)) waiter();
  }

  private answer({ method, url, body }: SeenRequest): Answer {
    const path = url.pathname;
    const object = this.objects.get(path);
    if (method === 'GET' && !collections.test(path)) {
      return object === undefined ? status(404, 'NotFound', 'not found') : [200, object];
    }
    if (method === 'GET') return this.list(url);
    if (method === 'POST') {
      const created = body as KubeObject;
      if (this.objects.has(`${path}/${created.metadata.name}`)) {
        return status(409, 'AlreadyExists', 'already exists');
      }
      return [201, this.put(path, created)];
    }
    if (method === 'DELETE') {
      const wanted = (body as { preconditions?: { uid?: string } }).preconditions?.uid;
      if (object === undefined) return status(404, 'NotFound', 'not found');
      if (wanted !== undefined && wanted !== object.metadata.uid) {
        return status(409, 'Conflict', 'the uid is another');
      }
      this.remove(path.slice(0, path.lastIndexOf('/')), object.metadata.name);
      return [200, { kind: 'Status' }];
    }
    return this.merge(path, object, body as KubeObject);
  }

  private merge(path: string, object: KubeObject | undefined, patch: KubeObject): Answer {
    if (object === undefined) return status(404, 'NotFound', 'not found');
    const wanted = (patch.metadata as KubeObject['metadata'] | undefined)?.resourceVersion;
    if (wanted !== undefined && wanted !== object.metadata.resourceVersion) {
      return status(409, 'Conflict', 'the object has been modified');
    }
    const merged = mergeJson(object, patch) as KubeObject;
    return [200, this.put(path.slice(0, path.lastIndexOf('/')), merged)];
  }

  private list(url: URL): Answer {
    const limit = Number(url.searchParams.get('limit') ?? 1e9);
    const from = Number(url.searchParams.get('continue') ?? 0);
    const all = [...this.objects]
      .filter(([key]) => key.slice(0, key.lastIndexOf('/')) === url.pathname)
      .map(([, { apiVersion: _version, kind: _kind, ...item }]) => item);
    const next = from + limit < all.length ? { continue: String(from + limit) } : {};
    const items = all.slice(from, from + limit);
    return [200, { metadata: { resourceVersion: String(this.version), ...next }, items }];
  }
}

export function status(code: number, reason: string, message: string): Answer {
  return [code, { kind: 'Status', code, reason, message }];
}

function reply(response: ServerResponse, [code, body, headers]: Answer): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

function mergeJson(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const merged: Record<string, unknown> = { ...(target as object) };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergeJson(merged[name], value);
  }
  return merged;
}
