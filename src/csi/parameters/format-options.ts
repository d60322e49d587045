import { badValue } from './values.js';

/**
 * What `createoptions` may hand to mkfs. The list is short on purpose: mkfs can
 * be told to put a log on another device, and a class must not be able to.
 */
const withValue = ['-b', '-d', '-i', '-I', '-m', '-N', '-n', '-O', '-s'];
const safeValue = /^[A-Za-z0-9_^.:=,-]+$/;
const unsafeValue = /(^|,)(file|name|logdev|rtdev|device|size)(=|,|$)/;

export function parseFormatOptions(key: string, value: string): string[] {
  const words = value.split(/\s+/).filter((word) => word !== '');
  const allowed = `options of mkfs among ${withValue.join(' ')}, each followed by its value`;
  const options: string[] = [];
  for (let at = 0; at < words.length; at += 2) {
    const option = words[at] ?? '';
    const argument = words[at + 1] ?? '';
    const safe = safeValue.test(argument) && !unsafeValue.test(argument);
    if (!withValue.includes(option) || argument.startsWith('-') || !safe) {
      throw badValue(key, value, allowed);
    }
    options.push(option, argument);
  }
  return options;
}
