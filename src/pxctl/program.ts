import { Command, Option } from 'commander';
import { toPxError } from '../kernel/errors.js';
import type { NodeApi } from '../platform/grpc-client.js';
import type { RunCommand } from '../platform/run-command.js';
import { exitCodeFor, exitCodesHelp } from './exit-codes.js';

export interface PxctlDeps {
  readonly version: string;
  readonly connect: (endpoint: string, timeoutMs: number) => NodeApi;
  readonly run: RunCommand;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly mountInfoPath: string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

const timeoutMs = 60_000;

export async function runPxctl(args: readonly string[], deps: PxctlDeps): Promise<number> {
  const program = new Command('pxctl')
    .version(deps.version)
    .addOption(
      new Option('--endpoint <address>', 'the px-node to use')
        .env('PXCTL_ENDPOINT')
        .default('unix:///run/px/px-node.sock'),
    )
    .addHelpText('after', exitCodesHelp);
  program.command('status').action(async () => {
    const node = deps.connect(program.opts<{ endpoint: string }>().endpoint, timeoutMs);
    try {
      const status = await node.GetStatus({});
      deps.out(`Status: PX is ${status.state}\nNode ID: ${status.id}\n`);
    } finally {
      node.close();
    }
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (thrown) {
    const error = toPxError(thrown);
    deps.err(`pxctl: ${error.message}\n`);
    return exitCodeFor(error.code);
  }
}
