import type { Command } from 'commander';
import { PxError } from '../kernel/errors.js';
import { FilesystemTool } from '../platform/block/filesystem.js';
import { Mounter } from '../platform/block/mounter.js';
import type { CommandContext, PxctlDeps } from './context.js';
import { usageError } from './errors.js';
import { exitCodes, type ExitCode } from './exit-codes.js';

export interface GlobalFlags {
  readonly endpoint: string;
  readonly json?: boolean;
  readonly timeout?: string;
}

/** Most calls are over in milliseconds; attaching waits out the lease of a dead node. */
const callTimeoutMs = 90_000;
const longTimeoutMs = 3_600_000;

export type Handler<Flags> = (
  context: CommandContext,
  args: readonly string[],
  flags: Flags,
) => Promise<ExitCode | void>;

/** Gives commands what they need, and keeps the exit code that one of them ended with. */
export class Actions {
  exitCode: ExitCode = exitCodes.ok;

  constructor(private readonly deps: PxctlDeps) {}

  on<Flags>(command: Command, handler: Handler<Flags>): Command {
    return command.action(async () => {
      const flags = command.optsWithGlobals<GlobalFlags & Flags>();
      const askedMs = parseTimeoutMs(flags.timeout);
      const px = this.deps.connect(flags.endpoint, askedMs ?? callTimeoutMs);
      try {
        const code = await handler(
          {
            px,
            json: flags.json === true,
            mounter: new Mounter(this.deps.run, this.deps.mountInfoPath),
            filesystems: new FilesystemTool(this.deps.run),
            longTimeoutMs: askedMs ?? longTimeoutMs,
            print: (text) => this.deps.out(`${text}\n`),
            note: (text) => this.deps.err(`pxctl: ${text}\n`),
          },
          command.processedArgs.flat() as string[],
          flags,
        );
        this.exitCode = code ?? exitCodes.ok;
      } finally {
        px.close();
      }
    });
  }
}

function parseTimeoutMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && seconds > 0 && seconds <= 86_400) return seconds * 1000;
  throw usageError(`--timeout "${text}" is not a number of seconds up to 86400`);
}

/** `--label a=1,b=2`, which may be given several times. */
export function gatherLabels(
  text: string,
  gathered: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const labels = { ...gathered };
  for (const pair of text.split(',')) {
    const at = pair.indexOf('=');
    if (at < 1) throw usageError(`--label "${pair}" is not of the form name=value`);
    labels[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
  }
  return labels;
}

/** Names joined by `,` or `;`. */
export function parseNames(text: string): string[] {
  const names = text.split(/[,;]/).map((name) => name.trim());
  if (names.every((name) => name !== '')) return names;
  throw usageError(`"${text}" is not a list of names joined by commas`);
}

/**
 * Known flags of features that px does not have: taking one and doing nothing
 * would be a lie about encryption, sharing or limits.
 */
export function refuseFlags(
  command: Command,
  later: readonly (readonly [flags: string, feature: string])[],
): void {
  for (const [flags, feature] of later) {
    // An optional value lets both `--shared` and `--shared=true` reach the refusal.
    const option = command.createOption(`${flags} [value]`).hideHelp();
    command.addOption(option);
    command.on(`option:${option.name()}`, () => {
      throw new PxError(
        'unimplemented',
        `${option.long ?? option.flags}: this release has no ${feature}; leave the flag out`,
      );
    });
  }
}

/** The same for whole commands. */
export function refuseCommands(
  parent: Command,
  later: Readonly<Record<string, readonly string[]>>,
): void {
  for (const [feature, names] of Object.entries(later)) {
    for (const name of names) {
      const [main = name, alias] = name.split('|');
      const command = parent
        .command(main, { hidden: true })
        .argument('[anything...]')
        .allowUnknownOption()
        .helpOption(false)
        .action(() => {
          const parentName = parent.name() === 'pxctl' ? 'pxctl' : `pxctl ${parent.name()}`;
          throw new PxError(
            'unimplemented',
            `${parentName} ${main}: this release has no ${feature}`,
          );
        });
      if (alias !== undefined) command.alias(alias);
    }
  }
}
