import { Command, CommanderError, Option } from 'commander';
import { toPxError } from '../kernel/errors.js';
import { Actions, refuseCommands, type GlobalFlags } from './action.js';
import { addCluster } from './commands/cluster.js';
import { addHost } from './commands/host.js';
import { addSchedPolicy } from './commands/sched-policy.js';
import { addService } from './commands/service.js';
import { addStatus } from './commands/status.js';
import { addStoragePolicy } from './commands/storage-policy.js';
import { addVolume } from './commands/volume.js';
import type { PxctlDeps } from './context.js';
import { errorLine } from './errors.js';
import { exitCodeFor, exitCodes, exitCodesHelp } from './exit-codes.js';

const defaultEndpoint = 'unix:///run/px/px-node.sock';

/** Runs one command line and returns the exit code. */
export async function runPxctl(args: readonly string[], deps: PxctlDeps): Promise<number> {
  const actions = new Actions(deps);
  const program = buildProgram(deps, actions);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return actions.exitCode;
  } catch (thrown) {
    // Commander has written its line (or the help) already.
    if (thrown instanceof CommanderError) {
      return thrown.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    }
    const error = toPxError(thrown);
    deps.err(`${errorLine(error, program.opts<GlobalFlags>().endpoint)}\n`);
    return exitCodeFor(error.code);
  }
}

function buildProgram(deps: PxctlDeps, actions: Actions): Command {
  // Commands take these settings over when they are made, so they come first.
  const program = new Command('pxctl')
    .description('Volumes, nodes and pools of a px cluster, through the px-node of this machine')
    .exitOverride()
    .configureOutput({
      writeOut: deps.out,
      writeErr: deps.err,
      outputError: (text, write) => write(usageLine(text)),
    })
    .version(deps.version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .option('-j, --json', 'print JSON')
    .addOption(
      new Option('--endpoint <address>', 'the px-node to use: unix:///path or host:port')
        .env('PXCTL_ENDPOINT')
        .default(defaultEndpoint),
    )
    .option('--timeout <seconds>', 'time bound of a call (default: 90; copies and checks 3600)')
    .addHelpText('after', exitCodesHelp);
  addStatus(program, actions);
  addCluster(program, actions);
  addVolume(program, actions);
  addHost(program, actions);
  addService(program, actions);
  addStoragePolicy(program, actions);
  addSchedPolicy(program, actions);
  refuseCommands(program, {
    'cloud snapshots': ['cloudsnap|cs'],
    credentials: ['credentials'],
    'secrets store': ['secrets'],
    'object stores': ['objectstore'],
    'alert history (see "pxctl status")': ['alerts'],
  });
  return program;
}

/** Commander says `error: …`, and what was perhaps meant on a second line. */
function usageLine(text: string): string {
  const line = text
    .trim()
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ');
  return `pxctl: ${line} (see --help)\n`;
}
