import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { OperatorMetrics } from './metrics.js';

export interface HealthServerOptions {
  readonly port: number;
  readonly host?: string;
  readonly metrics: OperatorMetrics;
  /** What is not well, for the kubelet to restart us; empty when all is. */
  readonly unhealthy: () => readonly string[];
  /** What is not there yet. */
  readonly unready: () => readonly string[];
}

/** `/healthz`, `/readyz` and `/metrics`. */
export class HealthServer {
  private constructor(private readonly server: Server) {}

  static async start(options: HealthServerOptions): Promise<HealthServer> {
    const server = createServer((request, response) => {
      answer(request.url ?? '', options).then(
        ({ status, type, text }) => {
          response.writeHead(status, { 'content-type': type });
          response.end(request.method === 'HEAD' ? undefined : text);
        },
        (error: unknown) => {
          response.writeHead(500);
          response.end(String(error));
        },
      );
    });
    server.keepAliveTimeout = 5_000;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port, options.host, resolve);
    });
    return new HealthServer(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

async function answer(url: string, options: HealthServerOptions): Promise<Answer> {
  const path = url.split('?')[0];
  if (path === '/healthz') return verdict(options.unhealthy());
  if (path === '/readyz') return verdict(options.unready());
  if (path !== '/metrics') return { status: 404, type: 'text/plain', text: 'not found\n' };
  const { registry } = options.metrics;
  return { status: 200, type: registry.contentType, text: await registry.metrics() };
}

function verdict(problems: readonly string[]): Answer {
  const well = problems.length === 0;
  const text = well ? 'ok\n' : `${problems.join('\n')}\n`;
  return { status: well ? 200 : 503, type: 'text/plain', text };
}
