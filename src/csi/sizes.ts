import { PxError } from '../kernel/errors.js';
import type { CapacityRange__Output } from '../gen/csi/v1/CapacityRange.js';

export const gibBytes = 1024 ** 3;
const defaultSizeBytes = gibBytes;

export interface SizeRange {
  /** 0: nothing was asked. */
  readonly requiredBytes: number;
  /** Infinity: no limit. */
  readonly limitBytes: number;
}

/** A 64-bit number of the wire, as a number that JavaScript holds exactly. */
export function bytesOf(text: string | number | undefined, what: string): number {
  const bytes = Number(text ?? 0);
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw new PxError(
    bytes < 0 ? 'invalid_argument' : 'out_of_range',
    `${what} is ${text}, not a size that a volume can have`,
  );
}

export function readSizeRange(range: CapacityRange__Output | null | undefined): SizeRange {
  const requiredBytes = bytesOf(range?.required_bytes, 'capacity_range.required_bytes');
  const limit = bytesOf(range?.limit_bytes, 'capacity_range.limit_bytes');
  const limitBytes = limit === 0 ? Infinity : limit;
  if (limitBytes < requiredBytes) {
    throw new PxError(
      'invalid_argument',
      `capacity_range.limit_bytes ${limitBytes} is less than required_bytes ${requiredBytes}`,
    );
  }
  return { requiredBytes, limitBytes };
}

/**
 * The size to provision: what is required, rounded up to whole GiB, 1 GiB when
 * nothing is; at least `leastBytes` (a copy holds its source).
 */
export function chooseSizeBytes(range: SizeRange, leastBytes = 0): number {
  const wanted = Math.max(
    range.requiredBytes === 0 ? defaultSizeBytes : range.requiredBytes,
    leastBytes,
  );
  const sizeBytes = Math.ceil(wanted / gibBytes) * gibBytes;
  if (!Number.isSafeInteger(sizeBytes)) {
    throw new PxError('out_of_range', `a volume of ${wanted} bytes is not possible`);
  }
  if (sizeBytes > range.limitBytes) {
    throw new PxError(
      'out_of_range',
      `sizes are whole GiB: ${wanted} bytes become ${sizeBytes}, above limit_bytes ${range.limitBytes}`,
    );
  }
  return sizeBytes;
}

export function sizeWithin(sizeBytes: number, range: SizeRange): boolean {
  return sizeBytes >= range.requiredBytes && sizeBytes <= range.limitBytes;
}
