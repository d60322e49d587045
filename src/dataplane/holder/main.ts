import { Command } from 'commander';
import { createLogger, parseLogLevel } from '../../platform/logger.js';
import { runCommand } from '../../platform/run-command.js';
import { runOnHost } from '../host-runtime/layout.js';
import { boundOwnLog } from './bounded-log.js';
import { Holder } from './holder.js';
import { leaveCgroups } from './own-cgroup.js';

const maxLogBytes = 8 * 1024 * 1024;

/** `holder main.js --run-dir DIR -- ENGINE ARGS…` */
const program = new Command('px-holder')
  .requiredOption('--run-dir <directory>', 'where sockets, mounts and state lie')
  .option('--leave-cgroups <name>', 'move to cgroups of this name at the hierarchies’ roots')
  .option('--log-file <file>', 'the file behind the standard error stream, to be kept small')
  .argument('<engine...>', 'the command line of the engine');
program.parse();
const {
  runDir,
  leaveCgroups: cgroup,
  logFile,
} = program.opts<{
  runDir: string;
  leaveCgroups?: string;
  logFile?: string;
}>();

const logger = createLogger({
  program: 'px-holder',
  level: parseLogLevel(process.env['PX_LOG_LEVEL']),
  format: 'json',
});

// A daemon that restarts sends its group a signal; what this process holds must stay.
process.on('SIGHUP', () => undefined);
process.on('SIGINT', () => undefined);

// Before anything is held, and before an engine inherits where this process is.
if (cgroup !== undefined) leaveCgroups(cgroup, { proc: '/proc', pid: process.pid }, logger);
if (logFile !== undefined) boundOwnLog(logFile, maxLogBytes);

const holder = new Holder({
  runDir,
  engineCommand: program.args,
  logger,
  run: runOnHost(process.execPath, runCommand),
  onStopped: () => process.exit(0),
});

if (!(await holder.start())) {
  logger.info('another holder serves this directory', { runDir });
  process.exit(3);
}
