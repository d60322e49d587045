import { Command, CommanderError } from 'commander';
import { toPxError } from '../kernel/errors.js';
import { connectNode, type NodeApi } from '../platform/grpc-client.js';
import type { RunCommand } from '../platform/run-command.js';
import type { PxctlContext } from './context.js';
import { describe, exitCodeOf } from './exit-codes.js';
import { addHostCommands } from './host-commands.js';
import { addStatusCommands } from './status-commands.js';
import { addVolumeCommands } from './volume-commands.js';

export interface PxctlDeps {
  readonly protoDir: string;
  readonly version: string;
  readonly defaultEndpoint: string;
  readonly run: RunCommand;
  print(text: string): void;
  printError(text: string): void;
}

const callTimeoutMs = 15_000;
const usageExitCode = 2;

/** Runs one command line and answers the exit code. */
export async function runPxctl(args: readonly string[], deps: PxctlDeps): Promise<number> {
  const program = new Command('pxctl')
    .description('looks at and changes the px cluster through the px-node of this machine')
    .version(deps.version)
    .option('-j, --json', 'JSON instead of text')
    .option('--endpoint <address>', 'the px-node: unix:///path or host:port', deps.defaultEndpoint)
    .option('--socket <path>', 'the same, as the path of the socket');
  let api: NodeApi | undefined;
  const context: PxctlContext = {
    api: () => {
      const options = program.opts<{ endpoint: string; socket?: string }>();
      api ??= connectNode(options.socket ?? options.endpoint, {
        timeoutMs: callTimeoutMs,
        protoDir: deps.protoDir,
      });
      return api;
    },
    run: deps.run,
    json: () => program.opts<{ json?: boolean }>().json === true,
    print: (text) => deps.print(text),
  };
  addStatusCommands(program, context);
  addVolumeCommands(program, context);
  addHostCommands(program, context);
  for (const command of everyCommand(program)) {
    command.exitOverride();
    command.configureOutput({
      writeOut: (text) => deps.print(text.trimEnd()),
      writeErr: (text) => deps.printError(text.trimEnd()),
    });
  }
  try {
    await program.parseAsync(hoistJson(args), { from: 'user' });
    return 0;
  } catch (thrown) {
    // commander has printed its own; help and version are no failures.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : usageExitCode;
    const error = toPxError(thrown);
    deps.printError(`pxctl: ${describe(error)}`);
    return exitCodeOf(error);
  } finally {
    api?.close();
  }
}

/** `-j` is a global flag, and users write it after the command as well. */
function hoistJson(args: readonly string[]): string[] {
  const rest = args.filter((arg) => arg !== '-j' && arg !== '--json');
  return rest.length === args.length ? rest : ['--json', ...rest];
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}
