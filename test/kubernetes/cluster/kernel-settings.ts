import { readFile } from 'node:fs/promises';

/**
 * Settings of the whole machine that a kubelet or a kube-proxy would write.
 * Each node has throw-away files in their place.
 */
export const guardedSettings = [
  '/proc/sys/vm/overcommit_memory',
  '/proc/sys/vm/panic_on_oom',
  '/proc/sys/kernel/panic',
  '/proc/sys/kernel/panic_on_oops',
  '/proc/sys/kernel/keys/root_maxkeys',
  '/proc/sys/kernel/keys/root_maxbytes',
] as const;

/** Read besides: kube-proxy is told to leave them alone, and they can't be covered. */
const watchedSettings = ['/proc/sys/net/netfilter/nf_conntrack_max'] as const;

export type Settings = Readonly<Record<string, string>>;

export async function readSettings(): Promise<Settings> {
  const settings: Record<string, string> = {};
  for (const file of [...guardedSettings, ...watchedSettings]) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text !== undefined) settings[file] = text.trim();
  }
  return settings;
}

/** One line a setting that is not what it was. */
export function changedSettings(before: Settings, after: Settings): string[] {
  return Object.entries(before)
    .filter(([file, value]) => after[file] !== value)
    .map(([file, value]) => `${file} was ${value} and is ${after[file] ?? 'gone'}`);
}
