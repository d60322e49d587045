import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { PxError } from '../../kernel/errors.js';
import type { NodeContext } from './context.js';

/** Why the node cannot serve yet or now; '' when it can. */
export type ReadinessProbe = () => Promise<string>;

const engineTimeoutMs = 3_000;

/**
 * Answers a kubelet's probes; false for any other path. An answer to
 * `/healthz` says that the process lives and its event loop turns, and nothing
 * more: a restart heals neither a store that is away nor a disk.
 */
export function answerProbe(
  request: IncomingMessage,
  response: ServerResponse,
  notReady: ReadinessProbe,
): boolean {
  const path = (request.url ?? '').split('?')[0];
  if (path === '/healthz') {
    sendText(response, 200, 'ok\n');
    return true;
  }
  if (path !== '/readyz') return false;
  notReady()
    .then((reason) => sendText(response, reason === '' ? 200 : 503, `${reason || 'ok'}\n`))
    .catch((error: unknown) => sendText(response, 500, String(error)));
  return true;
}

/** The parts of readiness: joined, the kvdb answers, pools are open, the engine answers. */
export async function whyNotReady(context: NodeContext, published: boolean): Promise<string> {
  if (!published) return 'the node is joining the cluster';
  const kvdb = context.kvdb.status();
  if (!kvdb.available) return `the kvdb does not answer: ${kvdb.reason}`;
  try {
    await context.engine.call('volume.list', {}, engineTimeoutMs);
    return '';
  } catch {
    return 'the engine does not answer';
  }
}

/**
 * Serves the probes from the first moment on an address of its own, also while
 * there is no configuration yet and so no port that would be in it.
 */
export async function startHealthServer(address: string, notReady: ReadinessProbe): Promise<void> {
  const match = /^(.+):(\d{1,5})$/.exec(address);
  if (match === null) {
    throw new PxError('invalid_argument', `--health-address: must be host:port, not ${address}`);
  }
  const server = createServer((request, response) => {
    if (!answerProbe(request, response, notReady)) {
      sendText(response, 404, 'there are /healthz and /readyz\n');
    }
  });
  server.requestTimeout = 10_000;
  await listenHttp(server, (match[1] ?? '').replace(/^\[(.*)\]$/, '$1'), Number(match[2]));
  // It must not keep alive a process that has nothing else to do.
  server.unref();
}

export function listenHttp(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(new PxError('unavailable', `cannot serve HTTP on ${host}:${port}`, {}, error)),
    );
    server.listen(port, host, resolve);
  });
}

export function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain',
): void {
  response.writeHead(status, { 'content-type': type });
  response.end(text);
}
