#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { PxError, toPxError } from '../../kernel/errors.js';
import { createLogger, parseLogLevel, type Logger } from '../../platform/logger.js';
import { protoDirOf } from '../../platform/proto.js';
import { runCommand } from '../../platform/run-command.js';
import { createEtcdKvdb } from '../kvdb/etcd-kvdb.js';
import { awaitFile } from './await-file.js';
import { BlockPath } from './block-path.js';
import { readConfig, type NodeConfig, type ReadConfig } from './config.js';
import { Daemon } from './daemon.js';
import { kvdbConfig } from './engine-config.js';
import { startHealthServer } from './health-server.js';
import { stopNode } from './stop-node.js';
import { wipeNode } from './wipe-node.js';

const protoDir = protoDirOf(import.meta.url);
const { version } = JSON.parse(readFileSync(join(dirname(protoDir), 'package.json'), 'utf8')) as {
  version: string;
};
/** Before the grace of a kubelet is over (30 s), so that nothing is killed half way. */
const longestStopMs = 15_000;

interface ConfigOptions {
  readonly config: string;
  readonly configDir?: string;
  readonly nodeName?: string;
}

interface RunOptions extends ConfigOptions {
  readonly hostRuntimeDir?: string;
  readonly healthAddress?: string;
  readonly stopAll?: boolean;
  readonly force?: boolean;
}

interface WipeOptions extends ConfigOptions {
  readonly yes?: boolean;
  readonly devices?: boolean;
  readonly kvdbKeys?: boolean;
  readonly force?: boolean;
}

/** `px-node --config FILE` serves; `px-node stop --config FILE` ends everything of the node. */
const program = new Command('px-node')
  .description('The data plane of px: one daemon a node')
  .version(version);
const defaultConfig = process.env.PX_CONFIG ?? '/etc/px/config.json';

withConfig(program.command('run', { isDefault: true }))
  .description('serve this node')
  .option('--host-runtime-dir <directory>', 'in a container: where on the host its programs go')
  .option('--health-address <host:port>', 'also serve /healthz and /readyz here, from the start')
  .option('--stop-all', 'end everything of the node instead of serving')
  .option('--force', 'with --stop-all: also what is still in use')
  .action((options: RunOptions) => (options.stopAll === true ? stop(options) : serve(options)));
withConfig(program.command('stop'))
  .description('end the daemon, its volumes, the holder, the engine and the mounts')
  .option('--stop-all', 'the same: everything is what stop ends')
  .option('--force', 'also what is still in use')
  .action((options: RunOptions) => stop(options));

withConfig(program.command('wipe'))
  .description(
    'end everything of the node and remove what it runs from; the data stays, and can be come back to',
  )
  .option('--yes', 'confirm: without it nothing is done')
  .option(
    '--devices',
    'also take the pools of this node off their devices, and remove its identity: the data is lost',
  )
  .option('--kvdb-keys', 'with --devices: also remove all keys of the cluster, for its last node')
  .option('--force', 'also when volumes are in use, or the kvdb is away')
  .action((options: WipeOptions) => wipe(options));

function withConfig(command: Command): Command {
  return command
    .option('--config <file>', 'the configuration', defaultConfig)
    .option('--config-dir <directory>', 'holds a configuration for each node, <node name>.json')
    .option('--node-name <name>', 'with --config-dir: which of them; the name of the node');
}

async function serve(options: RunOptions): Promise<void> {
  const daemon: { current?: Daemon } = {};
  const early = createLogger({
    ...{ program: 'px-node', format: 'json' },
    level: parseLogLevel(process.env.PX_LOG_LEVEL),
  });
  endOnSignals(early, async () => daemon.current?.stop());
  if (options.healthAddress !== undefined) {
    await startHealthServer(
      options.healthAddress,
      async () => (await daemon.current?.notReady()) ?? 'px-node waits for its configuration',
    );
  }
  await awaitFile(configFile(options), early);
  const { config, hash } = readOptions(options);
  const logger = loggerOf(config);
  const { runDir, dataDir } = config;
  daemon.current = new Daemon({
    ...{ config, logger, protoDir, version },
    configHash: hash,
    run: runCommand,
    interfaces: networkInterfaces(),
    blockPath: new BlockPath({
      ...{ runDir, dataDir, version, logger, run: runCommand },
      rootDir: join(protoDir, '..'),
      hostRuntimeDir: options.hostRuntimeDir,
    }),
    inContainer: options.hostRuntimeDir !== undefined,
    onFatal: (error) => fail(error, logger),
  });
  try {
    await daemon.current.start();
  } catch (error) {
    fail(error, logger);
  }
}

function endOnSignals(logger: Logger, end: () => Promise<void>): void {
  let stopping = false;
  const onSignal = (signal: string): void => {
    if (stopping) return;
    stopping = true;
    logger.info('px-node ends; attached volumes go on', { signal });
    // Whatever hangs, a supervisor waits only so long before it kills.
    setTimeout(() => process.exit(1), longestStopMs).unref();
    end().then(
      () => process.exit(0),
      (error: unknown) => fail(error, logger),
    );
  };
  process.on('SIGTERM', () => onSignal('SIGTERM'));
  process.on('SIGINT', () => onSignal('SIGINT'));
}

async function stop(options: RunOptions): Promise<void> {
  const { config } = readOptions(options);
  const force = options.force === true;
  await stopNode({ config, logger: loggerOf(config), run: runCommand, force });
}

async function wipe(options: WipeOptions): Promise<void> {
  const { config } = readOptions(options);
  const { devices = false, kvdbKeys = false, force = false } = options;
  if (options.yes !== true) {
    const what = devices
      ? 'the state and all data of px on this node'
      : 'the state of px on this node';
    throw new PxError('invalid_argument', `--yes: would remove ${what}; give it to do so`);
  }
  await wipeNode({
    ...{ config, devices, kvdbKeys, force, logger: loggerOf(config), run: runCommand },
    openKvdb: (settings, endpoints) => createEtcdKvdb(kvdbConfig(settings, endpoints)),
  });
}

function configFile({ config, configDir, nodeName }: ConfigOptions): string {
  if (configDir === undefined) return config;
  if (nodeName === undefined || !/^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(nodeName)) {
    throw new PxError('invalid_argument', '--node-name: must be the name of the node');
  }
  return join(configDir, `${nodeName}.json`);
}

/** The node's name is the one that it was asked for by. */
function readOptions(options: ConfigOptions): ReadConfig {
  const read = readConfig(configFile(options), process.env);
  if (options.nodeName === undefined) return read;
  return { ...read, config: { ...read.config, nodeName: options.nodeName } };
}

function loggerOf(config: NodeConfig): Logger {
  return createLogger({ program: 'px-node', level: config.logLevel, format: config.logFormat });
}

function fail(thrown: unknown, logger?: Logger): void {
  const error = toPxError(thrown);
  if (logger === undefined) process.stderr.write(`px-node: ${error.message}\n`);
  else logger.error(`px-node ends: ${error.message}`, { code: error.code, stack: error.stack });
  // The log line leaves before the process does.
  setTimeout(() => process.exit(1), 100);
}

// One background mistake must be seen, and must not leave half a daemon behind.
process.on('unhandledRejection', (reason) => fail(reason));

program.parseAsync().catch((error: unknown) => fail(error));
