/**
 * The annotation portworx.io/misc-args: the command line of another data
 * plane. What has a meaning here is taken, the rest is named.
 */
export interface MiscArgs {
  readonly runtimeOptions: Readonly<Record<string, string>>;
  /** Arguments that have no meaning here, each with its value. */
  readonly unsupported: readonly string[];
}

export function parseMiscArgs(text: string | undefined): MiscArgs {
  const words = (text ?? '').split(/\s+/).filter((word) => word !== '');
  const runtimeOptions: Record<string, string> = {};
  const unsupported: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    const next = words[at + 1];
    const value = next === undefined || next.startsWith('-') ? undefined : next;
    if (value !== undefined) at += 1;
    if (/^--?rt_opts$/.test(word) && value !== undefined) {
      Object.assign(runtimeOptions, parsePairs(value));
    } else {
      unsupported.push(value === undefined ? word : `${word} ${value}`);
    }
  }
  return { runtimeOptions, unsupported };
}

function parsePairs(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => {
    const at = pair.indexOf('=');
    return at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
  });
  return Object.fromEntries(pairs) as Record<string, string>;
}
