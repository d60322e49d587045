import { PxError } from '../../kernel/errors.js';

/** One refusal for every bad value: the key, the value, and what is allowed. */
export function badValue(key: string, value: string, allowed: string): PxError {
  return new PxError(
    'invalid_argument',
    `parameter "${key}" has the value "${value}"; allowed: ${allowed}`,
    { key, value, allowed },
  );
}

const trueWords = ['true', '1', 'yes', 'on'];
const falseWords = ['false', '0', 'no', 'off'];

export function parseBoolean(key: string, value: string): boolean {
  const word = value.trim().toLowerCase();
  if (trueWords.includes(word)) return true;
  if (falseWords.includes(word)) return false;
  throw badValue(key, value, 'true, false');
}

/** A parameter whose mere presence sets it; a value is still checked. */
export function parseFlag(key: string, value: string): boolean {
  return value.trim() === '' ? true : parseBoolean(key, value);
}

export function parseInteger(key: string, value: string, least: number, most: number): number {
  const text = value.trim();
  const number = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(number >= least && number <= most)) {
    throw badValue(key, value, `a whole number from ${least} to ${most}`);
  }
  return number;
}

/** `table` maps each accepted spelling to what it means. */
export function parseChoice<T extends string>(
  key: string,
  value: string,
  table: Readonly<Record<string, T>>,
): T {
  const word = value.trim().toLowerCase();
  const chosen = Object.hasOwn(table, word) ? table[word] : undefined;
  if (chosen === undefined) throw badValue(key, value, Object.keys(table).join(', '));
  return chosen;
}

/** Names joined by `,` or `;`. */
export function parseNames(key: string, value: string): string[] {
  const names = value
    .split(/[,;]/)
    .map((name) => name.trim())
    .filter((name) => name !== '');
  if (names.length === 0) throw badValue(key, value, 'names joined by "," or ";"');
  return [...new Set(names)];
}

const unitFactor: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/** Every unit is a power of 1024, as users of this surface expect: 4k, 4K, 4KB and 4KiB are one. */
export function parseBytes(key: string, value: string): number {
  const match = /^(\d{1,15})\s*(b|[kmgt]i?b?)?$/i.exec(value.trim());
  const factor = unitFactor[(match?.[2] ?? '').charAt(0).toLowerCase()];
  const bytes = match === null || factor === undefined ? NaN : Number(match[1]) * factor;
  if (!Number.isSafeInteger(bytes)) throw badValue(key, value, 'a size such as 4096, 4k or 2Gi');
  return bytes;
}

/** `key=value` pairs joined by `,`. */
export function parseLabels(key: string, value: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const pair of value.split(',').map((text) => text.trim())) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    if (at <= 0) throw badValue(key, value, 'name=value pairs joined by ","');
    labels[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
  }
  return labels;
}
