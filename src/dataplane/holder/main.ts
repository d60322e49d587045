import { Command } from 'commander';
import { createLogger, parseLogLevel } from '../../platform/logger.js';
import { runCommand } from '../../platform/run-command.js';
import { Holder } from './holder.js';

/** `holder main.js --run-dir DIR -- ENGINE ARGS…` */
const program = new Command('px-holder')
  .requiredOption('--run-dir <directory>', 'where sockets, mounts and state lie')
  .argument('<engine...>', 'the command line of the engine');
program.parse();
const { runDir } = program.opts<{ runDir: string }>();

const logger = createLogger({
  program: 'px-holder',
  level: parseLogLevel(process.env['PX_LOG_LEVEL']),
  format: 'json',
});

// A daemon that restarts sends its group a signal; what this process holds must stay.
process.on('SIGHUP', () => undefined);
process.on('SIGINT', () => undefined);

const holder = new Holder({
  runDir,
  engineCommand: program.args,
  logger,
  run: runCommand,
  onStopped: () => process.exit(0),
});

if (!(await holder.start())) {
  logger.info('another holder serves this directory', { runDir });
  process.exit(3);
}
