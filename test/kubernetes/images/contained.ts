import { withoutForeignMounts } from '../../../tools/lib/own-mounts.js';
import { run, type RunOptions } from '../../../tools/lib/run.js';

/**
 * Runs a program that mounts things in a mount and PID namespace of its own. It is
 * killed with its parent, and its mounts and children go with the namespaces: a
 * `kill -9` of the suite leaves files only, which the next run removes.
 */
export function runContained(
  command: string,
  args: readonly string[],
  options: RunOptions,
): Promise<string> {
  const contained = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const words = withoutForeignMounts([command, ...args]);
  return run('setpriv', ['--pdeathsig', 'KILL', ...contained, '--', ...words], options);
}
