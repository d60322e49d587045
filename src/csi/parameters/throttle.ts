import { PxError } from '../../kernel/errors.js';
import { parseInteger } from './values.js';

/** Limits as px-node's API calls them; 0 takes one away, undefined leaves it as it is. */
export interface ThrottleLimits {
  max_read_iops?: number;
  max_write_iops?: number;
  max_read_bytes_per_second?: number;
  max_write_bytes_per_second?: number;
}

/** Bandwidth is said in MB, which this surface counts in 1024s. */
const megabyte = 1024 * 1024;
const mostIops = 10_000_000;
const mostMegabytes = 1024 * 1024;

interface WithLimits {
  limits?: ThrottleLimits;
}

function parserOf(field: keyof ThrottleLimits, unit: number, most: number) {
  return (key: string, value: string, into: WithLimits): void => {
    into.limits = { ...into.limits, [field]: parseInteger(key, value, 0, most) * unit };
  };
}

export const throttleParsers = {
  io_throttle_rd_iops: parserOf('max_read_iops', 1, mostIops),
  io_throttle_wr_iops: parserOf('max_write_iops', 1, mostIops),
  io_throttle_rd_bw: parserOf('max_read_bytes_per_second', megabyte, mostMegabytes),
  io_throttle_wr_bw: parserOf('max_write_bytes_per_second', megabyte, mostMegabytes),
};

/** A direction is limited by the number of its requests or by their bytes, never by both. */
export function checkThrottle(limits: ThrottleLimits = {}): void {
  const { max_read_iops, max_write_iops, max_read_bytes_per_second, max_write_bytes_per_second } =
    limits;
  if (max_read_iops && max_read_bytes_per_second) throw bothLimited('rd');
  if (max_write_iops && max_write_bytes_per_second) throw bothLimited('wr');
}

function bothLimited(direction: 'rd' | 'wr'): PxError {
  const key = `io_throttle_${direction}_iops`;
  return new PxError(
    'invalid_argument',
    `parameters "${key}" and "io_throttle_${direction}_bw" limit the same direction; ` +
      'allowed: one of them',
    { key },
  );
}

/** A new limit of one kind takes the place of the other kind's, which may still stand. */
export function replacingLimits(limits: ThrottleLimits): ThrottleLimits {
  return {
    ...(limits.max_read_iops ? { max_read_bytes_per_second: 0 } : {}),
    ...(limits.max_write_iops ? { max_write_bytes_per_second: 0 } : {}),
    ...(limits.max_read_bytes_per_second ? { max_read_iops: 0 } : {}),
    ...(limits.max_write_bytes_per_second ? { max_write_iops: 0 } : {}),
    ...limits,
  };
}
