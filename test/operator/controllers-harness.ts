import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { resources } from '../../src/crds/resources.js';
import { CacheRegistry } from '../../src/operator/kube/cache-registry.js';
import type { KubeConnection } from '../../src/operator/kube/connection.js';
import { defaultEventTiming, KubeEventRecorder } from '../../src/operator/kube/event-recorder.js';
import { HttpKubeApi } from '../../src/operator/kube/kube-api.js';
import { KubeHttp } from '../../src/operator/kube/kube-http.js';
import { defaultWatchTiming } from '../../src/operator/kube/watch-cache.js';
import type {
  KubeObject,
  OperatorContext,
  PxCluster,
  Resource,
  SetUpController,
} from '../../src/operator/ports.js';
import { ControllerRunner } from '../../src/operator/run/controller-runner.js';
import { OperatorMetrics } from '../../src/operator/run/metrics.js';
import { createLogger } from '../../src/platform/logger.js';
import { silentLogger } from '../../src/platform/logger.js';
import { waitFor } from '../../tools/lib/wait.js';
import { ApiServer, type ApiServerPrograms } from '../kubernetes/api-server.js';

export const namespace = 'portworx';

/** The real API server, and controllers of the operator in this process that watch it. */
export class ControllersHarness {
  private constructor(
    private readonly dir: string,
    readonly server: ApiServer,
    private readonly http: KubeHttp,
    readonly kube: HttpKubeApi,
  ) {}

  static async start(programs: ApiServerPrograms): Promise<ControllersHarness> {
    const dir = await mkdtemp(path.join(tmpdir(), 'px-controllers-'));
    const server = await ApiServer.start({ dir, programs });
    const http = new KubeHttp(await connectionOf(server));
    const harness = new ControllersHarness(dir, server, http, new HttpKubeApi(http));
    const applied = await server.kubectl(['apply', '--server-side', '-f', 'deploy/crds']);
    if (applied.code !== 0) throw new Error(applied.stderr);
    await server.kubectl(['wait', '--for=condition=Established', '--all', 'crd']);
    await harness.create(resources.namespace, { metadata: { name: namespace } });
    return harness;
  }

  async stop(): Promise<void> {
    this.http.close();
    await this.server.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  /** An operator's life: its controllers with their caches, until it is stopped. */
  async run(px: PxCluster, setUps: readonly SetUpController[]): Promise<{ stop(): Promise<void> }> {
    const logger =
      process.env.PX_TEST_LOG === undefined
        ? silentLogger
        : createLogger({ program: 'operator', level: 'debug', format: 'human' });
    const caches = new CacheRegistry({
      http: this.http,
      api: this.kube,
      logger,
      timing: { ...defaultWatchTiming, firstRetryMs: 100 },
      onRestart: () => undefined,
    });
    const events = new KubeEventRecorder({
      kube: this.kube,
      logger,
      instance: 'test',
      ...defaultEventTiming,
    });
    const context: OperatorContext = {
      kube: this.kube,
      // A new one a life: what is shared by the controllers of one operator hangs on it.
      px: { any: () => px.any(), node: (name) => px.node(name) },
      events,
      clock: { nowMs: () => Date.now(), timestamp: () => new Date().toISOString() },
      logger,
      namespace,
      image: 'openpx/px:test',
      version: 'test',
      gauges: { volumes: () => undefined },
      cache: (resource, options) => caches.cache(resource, options),
    };
    const metrics = new OperatorMetrics();
    const runners = setUps.map((setUp) => {
      const runner = new ControllerRunner(logger, metrics);
      runner.manage(setUp(context, runner.enqueue));
      return runner;
    });
    caches.start();
    await caches.synced();
    for (const runner of runners) runner.start();
    return {
      stop: async () => {
        for (const runner of runners) await runner.stop();
        await caches.stop();
        await events.flush();
      },
    };
  }

  /** Creates an object with its status, as a controller of Kubernetes would have left it. */
  async create(resource: Resource, object: object): Promise<KubeObject> {
    const { apiVersion, kind } = resource;
    const whole = { apiVersion, kind, ...object } as KubeObject & { readonly status?: object };
    const created = await this.kube.create(resource, whole);
    if (whole.status !== undefined) await this.setStatus(resource, whole, whole.status);
    return created;
  }

  /** As its own field manager, like the kubelet or a controller. */
  async setStatus(resource: Resource, { metadata }: KubeObject, status: object): Promise<void> {
    const args = metadata.namespace === undefined ? [] : ['-n', metadata.namespace];
    const patch = JSON.stringify({ status });
    const kind = resource.plural;
    const flags = ['--subresource=status', '--type=merge', '-p', patch];
    const result = await this.server.kubectl(['patch', kind, metadata.name, ...args, ...flags]);
    if (result.code !== 0) throw new Error(result.stderr);
  }

  async get<T extends KubeObject>(resource: Resource, name: string, inNamespace?: string) {
    const where = inNamespace === undefined ? {} : { namespace: inNamespace };
    return this.kube.get<T>(resource, { ...where, name });
  }

  /** Reasons of the Events about objects of that kind and name. */
  async eventReasons(kind: string, name: string): Promise<readonly string[]> {
    interface Event extends KubeObject {
      readonly reason?: string;
      readonly regarding?: { readonly kind?: string; readonly name?: string };
    }
    const all = await this.kube.list<Event>(resources.event);
    return all
      .filter(({ regarding }) => regarding?.kind === kind && regarding.name === name)
      .map(({ reason }) => reason ?? '');
  }

  async waitForEvent(kind: string, name: string, reason: string, timeoutMs = 15_000) {
    await waitFor(`Event ${reason} about ${kind} ${name}`, timeoutMs, async () =>
      (await this.eventReasons(kind, name)).includes(reason) ? true : undefined,
    );
  }

  async createCluster(over: { readonly annotations?: object; readonly spec?: object } = {}) {
    return this.create(resources.storageCluster, {
      metadata: { name: 'px', namespace, annotations: over.annotations ?? {} },
      spec: over.spec ?? {},
    });
  }

  async createNode(name: string): Promise<void> {
    await this.create(resources.node, {
      metadata: { name },
      status: { conditions: [{ type: 'Ready', status: 'True' }] },
    });
  }
}

async function connectionOf(server: ApiServer): Promise<KubeConnection> {
  const config = JSON.parse(await readFile(server.kubeconfig, 'utf8')) as {
    readonly clusters: [{ readonly cluster: { readonly 'certificate-authority': string } }];
    readonly users: [{ readonly user: { readonly token: string } }];
  };
  const ca = await readFile(config.clusters[0].cluster['certificate-authority']);
  const { token } = config.users[0].user;
  return {
    server: new URL(server.url),
    tls: { ca },
    authorization: async () => `Bearer ${token}`,
  };
}
