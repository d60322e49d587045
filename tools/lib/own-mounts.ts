import { tmpdir } from 'node:os';

/**
 * The command, to be run first in a new mount namespace: lets go of what others
 * have mounted below the directories of tests. A namespace begins with a copy of
 * every mount, and a loop device or a FUSE server is in use as long as any copy
 * is there: whoever unmounts the original would wait for this namespace's end.
 */
export function withoutForeignMounts(command: readonly string[]): string[] {
  const below = [...new Set([tmpdir(), '/tmp'])].map((dir) => `index($1, "${dir}/") == 1`);
  const others = `(${below.join(' || ')}) && ($2 ~ "^/dev/loop" || $3 ~ "^fuse($|[.])")`;
  const targets = `findmnt -rno TARGET,SOURCE,FSTYPE | awk '${others} { print $1 }' | tac`;
  return ['sh', '-c', `${targets} | xargs -r -n 1 umount -l; exec "$@"`, 'sh', ...command];
}
