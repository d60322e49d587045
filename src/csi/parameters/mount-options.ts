import { badValue } from './values.js';

/**
 * Options that change what is mounted rather than how: they would let a class
 * or a claim reach beyond its own volume.
 */
const refused =
  /^(bind|rbind|move|remount|loop|offset|sizelimit|encryption|logdev|rtdev|journal_path|journal_dev)(=.*)?$/;
const wellFormed = /^[A-Za-z0-9_][A-Za-z0-9_.:@+-]*(=[A-Za-z0-9_.:@%+/-]*)?$/;

/** Options joined by `,` as mount(8) takes them; a list of such strings is flattened. */
export function parseMountOptions(key: string, value: string): string[] {
  const options: string[] = [];
  for (const option of value.split(',').map((text) => text.trim())) {
    if (option === '') continue;
    if (!wellFormed.test(option)) throw badValue(key, value, 'mount options joined by ","');
    if (refused.test(option)) {
      throw badValue(key, value, `mount options other than "${option}"`);
    }
    options.push(option);
  }
  return options;
}

/** One option once; the last of two values for the same name wins, as in mount(8). */
export function mergeMountOptions(...lists: readonly (readonly string[])[]): string[] {
  const byName = new Map<string, string>();
  for (const option of lists.flat()) {
    const name = optionName(option);
    byName.delete(name);
    byName.set(name, option);
  }
  return [...byName.values()];
}

const pairs: Readonly<Record<string, string>> = { rw: 'ro', nodiscard: 'discard' };

/** `ro` and `rw`, `discard` and `nodiscard` are two values of one option. */
export function optionName(option: string): string {
  const name = option.split('=')[0] ?? option;
  return pairs[name] ?? name;
}
