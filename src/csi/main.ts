#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command, Option } from 'commander';
import { toPxError } from '../kernel/errors.js';
import { connectNode } from '../platform/grpc-client.js';
import { createLogger, parseLogLevel } from '../platform/logger.js';
import { protoDirOf } from '../platform/proto.js';
import { runCommand } from '../platform/run-command.js';
import { inClusterClaims } from './claims/kubernetes-claims.js';
import { startHealthServer } from './health-server.js';
import { AbandonedStages } from './node/abandoned-stages.js';
import { kubeletRoot } from './node/kubelet-stages.js';
import type { NodeContext } from './node/context.js';
import { throughService } from './px-service.js';
import { startRegistration, whenNodeAnswers } from './registration.js';
import { nodeContextOf, startCsiServer, type CsiMode, type CsiServerOptions } from './server.js';

interface Flags {
  readonly mode: CsiMode;
  readonly endpoint: string;
  readonly nodeEndpoint: string;
  readonly driverName: string;
  readonly maxVolumesPerNode: string;
  readonly frontend: 'fuse' | 'nbd' | 'nbd-device';
  readonly registrationDir?: string;
  readonly kubeletSocketPath?: string;
  readonly healthPort?: string;
  readonly logLevel: string;
  readonly logFormat: 'json' | 'human';
}

/** Calls at work end within their own bounds; Kubernetes gives a container 30 s. */
const graceMs = 20_000;
const pxTimeoutMs = 30_000;

const protoDir = protoDirOf(import.meta.url);
const version = (
  JSON.parse(readFileSync(join(dirname(protoDir), 'package.json'), 'utf8')) as { version: string }
).version;

const flags = new Command('px-csi')
  .description('The CSI driver of px: controller and node services over px-node')
  .version(version)
  .addOption(
    new Option('--mode <mode>', 'which services to serve')
      .choices(['controller', 'node', 'all'])
      .default('all'),
  )
  .option('--endpoint <address>', 'where to listen', 'unix:///run/px/csi.sock')
  .option('--node-endpoint <address>', 'the px-node to use', 'unix:///run/px/px-node.sock')
  .option('--driver-name <name>', 'the CSI driver name', 'pxd.portworx.com')
  .option('--max-volumes-per-node <count>', 'attach limit to report, 0 for none', '0')
  .addOption(
    new Option('--frontend <kind>', 'where devices come from')
      .choices(['fuse', 'nbd', 'nbd-device'])
      .default('fuse'),
  )
  .option('--registration-dir <dir>', "the kubelet's plugins_registry; absent: no registration")
  .option('--kubelet-socket-path <path>', 'the CSI socket as the kubelet sees it')
  .option('--health-port <port>', 'serve /healthz and /readyz over HTTP; absent: do not')
  .option('--log-level <level>', 'debug, info, warn or error', 'info')
  .addOption(
    new Option('--log-format <format>', 'how log lines look')
      .choices(['json', 'human'])
      .default('json'),
  )
  .parse()
  .opts<Flags>();

const logger = createLogger({
  program: 'px-csi',
  level: parseLogLevel(flags.logLevel),
  format: flags.logFormat,
});
const connect = () => connectNode(flags.nodeEndpoint, { timeoutMs: pxTimeoutMs, protoDir });
const px = flags.nodeEndpoint.startsWith('unix:') ? connect() : throughService(connect);
const stopping = new AbortController();

try {
  const options: CsiServerOptions = {
    ...flags,
    maxVolumesPerNode: Number.parseInt(flags.maxVolumesPerNode, 10) || 0,
    version,
    px,
    protoDir,
    run: runCommand,
    claims: inClusterClaims(process.env),
    logger,
  };
  const node = nodeContextOf(options);
  const server = await startCsiServer(options, node);
  logger.info('serving', { mode: flags.mode, endpoint: flags.endpoint, px: flags.nodeEndpoint });
  const health =
    flags.healthPort === undefined
      ? undefined
      : await startHealthServer({
          port: parsePort(flags.healthPort),
          endpoint: flags.endpoint,
          protoDir,
        });
  const stop = (signal: NodeJS.Signals): void => {
    logger.info(`ending on ${signal}`);
    stopping.abort();
    health?.close();
    void server.close(graceMs).then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  await register(node);
} catch (thrown) {
  logger.error(`cannot start: ${toPxError(thrown).message}`);
  process.exit(1);
}

/** Not from a second place: the socket in the directory belongs to one process a node. */
async function register(node: NodeContext): Promise<void> {
  const { registrationDir: directory, kubeletSocketPath } = flags;
  if (directory === undefined) return;
  if (kubeletSocketPath === undefined) {
    throw new Error('--registration-dir needs --kubelet-socket-path');
  }
  if (!(await whenNodeAnswers(px, logger, stopping.signal))) return;
  const { driverName } = flags;
  const stages = new AbandonedStages(node, kubeletRoot(kubeletSocketPath), driverName);
  const onRegistered = (): void => stages.clear(stopping.signal);
  const onRefused = (): void => process.exit(1);
  await startRegistration({
    directory,
    kubeletSocketPath,
    driverName,
    protoDir,
    logger,
    onRegistered,
    onRefused,
  });
}

function parsePort(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new Error(`--health-port: "${text}" is no port; it must be 1 to 65535`);
}
