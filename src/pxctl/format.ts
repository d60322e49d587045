import { PxError } from '../kernel/errors.js';

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1073741824` as `1 GiB`. */
export function showBytes(value: string | number): string {
  let amount = Number(value);
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit++;
  }
  const rounded = Math.round(amount * 10) / 10;
  return `${rounded} ${units[unit]}`;
}

const suffixes: Readonly<Record<string, number>> = {
  '': 1024 ** 3,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/** `10` is GiB, as users of this command know it; a suffix says otherwise. All are 1024-based. */
export function parseSize(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const suffix = (match?.[2] ?? '').toLowerCase().replace(/^([kmgt])i?b?$/, '$1');
  const factor = suffixes[suffix];
  if (match === null || factor === undefined) {
    throw new PxError(
      'invalid_argument',
      `${option} "${text}": give a size such as 10, 10G or 512M`,
    );
  }
  return Math.round(Number(match[1]) * factor);
}

/** Columns that line up, two spaces apart. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  indent = '',
): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) =>
    Math.max(...all.map((row) => (row[column] ?? '').length)),
  );
  return all
    .map((row) =>
      (indent + row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).trimEnd(),
    )
    .join('\n');
}

export function yesNo(value: boolean): string {
  return value ? 'yes' : 'no';
}

/** `name  :  value` lines that line up. */
export function facts(pairs: readonly (readonly [string, string])[], indent = '\t'): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${indent}${name.padEnd(width)}  :  ${value}`).join('\n');
}

export function parseList(text: string | undefined): string[] {
  if (text === undefined) return [];
  return text
    .split(/[,;]/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** `a=b,c=d` */
export function parseLabels(text: string | undefined): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const part of parseList(text)) {
    const index = part.indexOf('=');
    if (index <= 0) {
      throw new PxError('invalid_argument', `--label "${part}": give key=value pairs`);
    }
    labels[part.slice(0, index)] = part.slice(index + 1);
  }
  return labels;
}
