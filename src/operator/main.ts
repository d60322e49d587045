#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { Command, Option } from 'commander';
import { resources } from '../crds/resources.js';
import type { StorageCluster } from '../crds/storage-cluster.js';
import { toPxError } from '../kernel/errors.js';
import { connectNode } from '../platform/grpc-client.js';
import { createLogger, parseLogLevel, type Logger } from '../platform/logger.js';
import { protoDirOf } from '../platform/proto.js';
import { activeCluster } from './active-cluster.js';
import { controllers } from './controllers.js';
import { CacheRegistry } from './kube/cache-registry.js';
import {
  inClusterConnection,
  inClusterNamespace,
  kubeconfigConnection,
} from './kube/connection.js';
import { defaultEventTiming, KubeEventRecorder } from './kube/event-recorder.js';
import { HttpKubeApi } from './kube/kube-api.js';
import { KubeHttp } from './kube/kube-http.js';
import { defaultLeaseTiming, LeaderElection } from './kube/leader-election.js';
import { defaultWatchTiming } from './kube/watch-cache.js';
import { pxAddresses, pxPodSelector, type PxPod } from './px/px-addresses.js';
import { PxConnections } from './px/px-connections.js';
import { applyDefinitions } from './run/apply-crds.js';
import { systemClock } from './run/clock.js';
import { OperatorMetrics } from './run/metrics.js';
import { Operator } from './run/operator.js';
import { prepareDelete } from './run/prepare-delete.js';
import { selfTest } from './run/self-test.js';

interface CommonFlags {
  readonly kubeconfig?: string;
  readonly namespace: string;
}

interface RunFlags extends CommonFlags {
  readonly leaderElection: boolean;
  readonly identity: string;
  readonly healthPort: string;
  readonly image: string;
  readonly logLevel: string;
  readonly logFormat: 'json' | 'human';
}

const pxTimeoutMs = 30_000;
const protoDir = protoDirOf(import.meta.url);
const version = (
  JSON.parse(readFileSync(join(dirname(protoDir), 'package.json'), 'utf8')) as { version: string }
).version;

const program = new Command('px-operator')
  .description('Runs px on Kubernetes: what StorageClusters and StoragePolicies say')
  .version(version);

function command(name: string, description: string, isDefault = false): Command {
  return program
    .command(name, { isDefault })
    .description(description)
    .option('--kubeconfig <file>', 'how to reach the API server; inside of a pod nothing is needed')
    .option(
      '--namespace <name>',
      'the namespace of the StorageCluster and of all that is made for it',
      process.env.POD_NAMESPACE ?? inClusterNamespace() ?? 'portworx',
    );
}

command('run', 'serve this Kubernetes cluster', true)
  .option('--no-leader-election', 'act without asking whether another operator does')
  .option('--identity <name>', 'who asks for the lead', defaultIdentity())
  .option('--health-port <port>', 'where /healthz, /readyz and /metrics are', '8080')
  .option(
    '--image <name>',
    'the image of StorageClusters that name none',
    process.env.PX_IMAGE ?? `openpx/px:${version}`,
  )
  .option('--log-level <level>', 'debug, info, warn or error', 'info')
  .addOption(
    new Option('--log-format <format>', 'how log lines look')
      .choices(['json', 'human'])
      .default('json'),
  )
  .action(serve);

command('apply-crds', 'bring the custom resource definitions up to date')
  .option('--timeout <seconds>', 'how long to wait until they are served', '60')
  .action((flags: CommonFlags & { timeout: string }) =>
    once(async () => {
      const { kube } = await connect(flags, () => undefined);
      await applyDefinitions(kube, Number(flags.timeout) * 1_000, say);
    }),
  );

command('prepare-delete', 'delete the StorageClusters, unless data or pods would suffer')
  .option('--timeout <seconds>', 'how long to wait for the end of the deletion', '240')
  .option('--ignore-attached', 'also while volumes are in use', false)
  .option('--driver-name <name>', 'the CSI driver', 'pxd.portworx.com')
  .action((flags: CommonFlags & PrepareDeleteFlags) =>
    once(async () => {
      const { kube } = await connect(flags, () => undefined);
      await prepareDelete({ ...flags, kube, timeoutMs: Number(flags.timeout) * 1_000, say });
    }),
  );

interface PrepareDeleteFlags {
  readonly timeout: string;
  readonly ignoreAttached: boolean;
  readonly driverName: string;
}

command('self-test', 'see that the cluster runs and that a mounted volume holds what is written')
  .requiredOption('--volume-dir <path>', 'where the volume of a claim is mounted')
  .option('--driver-name <name>', 'the CSI driver', 'pxd.portworx.com')
  .action((flags: CommonFlags & { volumeDir: string; driverName: string }) =>
    once(async () => {
      const { kube } = await connect(flags, () => undefined);
      await selfTest({ ...flags, kube, say });
    }),
  );

/** A container that starts again in its pod has the lead back at once; elsewhere names may repeat. */
function defaultIdentity(): string {
  return process.env.POD_NAME ?? `${hostname()}-${process.pid}`;
}

async function connect(flags: CommonFlags, onAnswer: (method: string, status: number) => void) {
  const connection =
    flags.kubeconfig === undefined
      ? inClusterConnection(process.env)
      : await kubeconfigConnection(flags.kubeconfig);
  const http = new KubeHttp(connection, onAnswer);
  return { http, kube: new HttpKubeApi(http) };
}

async function serve(flags: RunFlags): Promise<void> {
  const logger = createLogger({
    program: 'px-operator',
    level: parseLogLevel(flags.logLevel),
    format: flags.logFormat,
  });
  try {
    const operator = await assemble(flags, logger);
    const stop = (signal: NodeJS.Signals): void => {
      logger.info(`ending on ${signal}`);
      void operator.stop().then(() => process.exit(0));
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
    await operator.run();
  } catch (thrown) {
    logger.error(`ends: ${toPxError(thrown).message}`);
    process.exit(1);
  }
}

async function assemble(flags: RunFlags, logger: Logger): Promise<Operator> {
  const metrics = new OperatorMetrics();
  const { http, kube } = await connect(flags, (method, status) => metrics.answered(method, status));
  const { namespace, identity, image } = flags;
  const caches = new CacheRegistry({
    ...{ http, api: kube, logger, timing: defaultWatchTiming },
    onRestart: (kind, reason) => metrics.watchRestarted(kind, reason),
  });
  const pods = caches.cache<PxPod>(resources.pod, { namespace, labelSelector: pxPodSelector });
  const clusters = caches.cache<StorageCluster>(resources.storageCluster);
  const px = new PxConnections({
    addresses: () => pxAddresses(pods.all(), activeCluster(clusters)?.spec.startPort ?? 9001),
    connect: (address) => connectNode(address, { timeoutMs: pxTimeoutMs, protoDir }),
  });
  const events = new KubeEventRecorder({
    ...{ kube, logger, instance: identity },
    ...defaultEventTiming,
  });
  const election = new LeaderElection({
    ...{ kube, logger, identity, timing: defaultLeaseTiming },
    name: { namespace, name: 'px-operator' },
  });
  return new Operator({
    context: { kube, clock: systemClock, logger, namespace, image, version },
    ...{ caches, px, events, metrics, controllers },
    ...(flags.leaderElection ? { election } : {}),
    healthPort: Number(flags.healthPort),
  });
}

async function once(work: () => Promise<void>): Promise<void> {
  try {
    await work();
    process.exit(0);
  } catch (thrown) {
    process.stderr.write(`px-operator: ${toPxError(thrown).message}\n`);
    process.exit(1);
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

await program.parseAsync();
