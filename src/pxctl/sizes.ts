import { usageError } from './errors.js';

const unitNames = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const gibBytes = 1024 ** 3;

/**
 * Reads a size: a bare number counts GiB, as users of this command line know
 * it; every unit is 1024-based, also `G` and `GB`.
 */
export function parseSizeBytes(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?(?:([kmgtp])(?:i?b)?|(b))?$/i.exec(text.trim());
  const [, digits = '', unit = 'g', plainBytes] = match ?? [];
  const scale = plainBytes === undefined ? 1024 ** 'bkmgtp'.indexOf(unit.toLowerCase()) : 1;
  const sizeBytes = Math.round(Number(digits) * scale);
  if (match === null || !Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) {
    throw usageError(`${flag} "${text}" is not a size; give GiB (10) or a unit (512M, 10G, 1.5T)`);
  }
  return sizeBytes;
}

/** A number of the API, which are decimal strings. */
export function bytesOf(value: string | number | undefined): number {
  return Number(value ?? 0);
}

/** For people: the largest unit that leaves at least one, with two significant decimals. */
export function formatBytes(value: string | number | undefined): string {
  let amount = bytesOf(value);
  let unit = 0;
  while (amount >= 1024 && unit < unitNames.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${Number(amount.toFixed(2))} ${unitNames[unit]}`;
}

/** Whole GiB are shown as they are asked for. */
export function formatVolumeSize(value: string | number | undefined): string {
  const sizeBytes = bytesOf(value);
  return sizeBytes > 0 && sizeBytes % gibBytes === 0
    ? `${sizeBytes / gibBytes} GiB`
    : formatBytes(sizeBytes);
}
