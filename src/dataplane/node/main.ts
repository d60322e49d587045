#!/usr/bin/env node
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { toPxError } from '../../kernel/errors.js';
import { createLogger, type Logger } from '../../platform/logger.js';
import { protoDirOf } from '../../platform/proto.js';
import { runCommand } from '../../platform/run-command.js';
import { readConfig, type NodeConfig } from './config.js';
import { Daemon } from './daemon.js';
import { stopNode } from './stop-node.js';

const version = '0.1.0';

/** `px-node --config FILE` serves; `px-node stop --config FILE` ends everything of the node. */
const program = new Command('px-node')
  .description('The data plane of px: one daemon a node')
  .version(version);
const defaultConfig = process.env.PX_CONFIG ?? '/etc/px/config.json';

program
  .command('run', { isDefault: true })
  .description('serve this node')
  .option('--config <file>', 'the configuration', defaultConfig)
  .option('--stop-all', 'end everything of the node instead of serving')
  .option('--force', 'with --stop-all: also what is still in use')
  .action(async (options: { config: string; stopAll?: boolean; force?: boolean }) => {
    if (options.stopAll === true) return stop(options.config, options.force === true);
    return serve(options.config);
  });
program
  .command('stop')
  .description('end the daemon, its volumes, the holder, the engine and the mounts')
  .option('--config <file>', 'the configuration', defaultConfig)
  .option('--force', 'also what is still in use')
  .action((options: { config: string; force?: boolean }) =>
    stop(options.config, options.force === true),
  );

async function serve(file: string): Promise<void> {
  const config = readConfig(file, process.env);
  const logger = loggerOf(config);
  const daemon = new Daemon({
    config,
    logger,
    run: runCommand,
    interfaces: networkInterfaces(),
    protoDir: protoDirOf(import.meta.url),
    version,
    holderMain: fileURLToPath(new URL('../holder/main.js', import.meta.url)),
    engineMain: fileURLToPath(new URL('../engine/main.js', import.meta.url)),
    onFatal: (error) => fail(error, logger),
  });
  let stopping = false;
  const end = (signal: string): void => {
    if (stopping) return;
    stopping = true;
    logger.info('px-node ends; attached volumes go on', { signal });
    // Whatever hangs, a supervisor waits only so long before it kills.
    setTimeout(() => process.exit(1), 10_000).unref();
    daemon.stop().then(
      () => process.exit(0),
      (error: unknown) => fail(error, logger),
    );
  };
  process.on('SIGTERM', () => end('SIGTERM'));
  process.on('SIGINT', () => end('SIGINT'));
  try {
    await daemon.start();
  } catch (error) {
    fail(error, logger);
  }
}

async function stop(file: string, force: boolean): Promise<void> {
  const config = readConfig(file, process.env);
  await stopNode({ config, logger: loggerOf(config), run: runCommand, force });
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
