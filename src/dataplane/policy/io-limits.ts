import { PxError } from '../../kernel/errors.js';
import type { IoLimits } from '../../kernel/volume-record.js';

/** The limits' fields of a request: numbers as text, '' or 0 for none. */
export interface AskedLimits {
  readonly max_read_iops?: string;
  readonly max_write_iops?: string;
  readonly max_read_bytes_per_second?: string;
  readonly max_write_bytes_per_second?: string;
}

const fields = [
  ['max_read_iops', 'readIops'],
  ['max_write_iops', 'writeIops'],
  ['max_read_bytes_per_second', 'readBytesPerSecond'],
  ['max_write_bytes_per_second', 'writeBytesPerSecond'],
] as const;

/** Below this a file system's own work would stop the volume for minutes. */
const leastBytesPerSecond = 64 * 1024;
const mostPerSecond = 2 ** 40;

/** The limits after a change; what the request leaves out stays as it is. Undefined: none. */
export function parseLimits(asked: AskedLimits, before: IoLimits = {}): IoLimits | undefined {
  const limits: { -readonly [K in keyof IoLimits]: IoLimits[K] } = { ...before };
  for (const [field, key] of fields) {
    const text = asked[field];
    if (text === undefined) continue;
    const value = Number(text);
    const least = field.includes('bytes') ? leastBytesPerSecond : 1;
    if (value === 0) delete limits[key];
    else if (Number.isInteger(value) && value >= least && value <= mostPerSecond)
      limits[key] = value;
    else
      throw invalid(
        field,
        `must be 0 (no limit) or from ${least} to ${mostPerSecond}, and is ${text}`,
      );
  }
  for (const direction of ['read', 'write'] as const) {
    const [iops, bytes] = [limits[`${direction}Iops`], limits[`${direction}BytesPerSecond`]];
    if (iops === undefined || bytes === undefined) continue;
    throw invalid(
      `max_${direction}_iops`,
      `can't be limited together with max_${direction}_bytes_per_second; set one of them to 0`,
    );
  }
  return Object.keys(limits).length === 0 ? undefined : limits;
}

function invalid(field: string, problem: string): PxError {
  return new PxError('invalid_argument', `${field}: ${problem}`, { field });
}
