import { readFileSync } from 'node:fs';

/** Another value after every start of the kernel: how a lost page cache is noticed. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
