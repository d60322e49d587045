import { statfsSync } from 'node:fs';
import type { PoolView } from './contracts.js';

export interface Capacity {
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly availableBytes: number;
}

export const noCapacity: Capacity = { totalBytes: 0, usedBytes: 0, availableBytes: 0 };

/** What the file system says; thin files and discards are exactly accounted by it. */
export function capacityOf(directory: string): Capacity {
  const stats = statfsSync(directory);
  return {
    totalBytes: stats.blocks * stats.bsize,
    usedBytes: (stats.blocks - stats.bfree) * stats.bsize,
    availableBytes: stats.bavail * stats.bsize,
  };
}

export function sumCapacities(capacities: readonly Capacity[]): Capacity {
  return capacities.reduce(
    (sum, one) => ({
      totalBytes: sum.totalBytes + one.totalBytes,
      usedBytes: sum.usedBytes + one.usedBytes,
      availableBytes: sum.availableBytes + one.availableBytes,
    }),
    noCapacity,
  );
}

const mebibyte = 1024 * 1024;
const fullBytes = 64 * mebibyte;

/** A pool with less than 64 MiB or half a percent left takes no new replicas. */
export function fillState(capacity: Capacity): PoolView['state'] {
  const least = Math.max(fullBytes, capacity.totalBytes * 0.005);
  return capacity.availableBytes < least ? 'full' : 'online';
}

const largestSegmentBytes = 16 * 1024 * mebibyte;
const smallestSegmentBytes = 64 * mebibyte;

/**
 * A sixteenth of the smallest device, so that a few replicas spread evenly over
 * devices; few enough files that a flush stays cheap (ADR 0003). A power of two.
 */
export function segmentBytesFor(deviceSizes: readonly number[]): number {
  const wished = Math.min(largestSegmentBytes, ...deviceSizes.map((size) => size / 16));
  const power = 2 ** Math.floor(Math.log2(Math.max(wished, 1)));
  return Math.max(smallestSegmentBytes, power);
}
