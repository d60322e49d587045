#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command, Option } from 'commander';
import { toPxError } from '../kernel/errors.js';
import { connectNode } from '../platform/grpc-client.js';
import { createLogger, parseLogLevel } from '../platform/logger.js';
import { protoDirOf } from '../platform/proto.js';
import { runCommand } from '../platform/run-command.js';
import { startCsiServer, type CsiMode } from './server.js';

interface Flags {
  readonly mode: CsiMode;
  readonly endpoint: string;
  readonly nodeEndpoint: string;
  readonly driverName: string;
  readonly maxVolumesPerNode: string;
  readonly frontend: 'fuse' | 'nbd' | 'nbd-device';
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
const px = connectNode(flags.nodeEndpoint, { timeoutMs: pxTimeoutMs, protoDir });

try {
  const server = await startCsiServer({
    ...flags,
    maxVolumesPerNode: Number.parseInt(flags.maxVolumesPerNode, 10) || 0,
    version,
    px,
    protoDir,
    run: runCommand,
    logger,
  });
  logger.info('serving', { mode: flags.mode, endpoint: flags.endpoint, px: flags.nodeEndpoint });
  const stop = (signal: NodeJS.Signals): void => {
    logger.info(`ending on ${signal}`);
    void server.close(graceMs).then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
} catch (thrown) {
  logger.error(`cannot start: ${toPxError(thrown).message}`);
  process.exit(1);
}
