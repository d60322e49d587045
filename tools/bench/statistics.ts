import type { FioResult } from '../lib/fio.js';
import type { Workload } from './workloads.js';

/** One run of one workload on one target. */
export interface Sample {
  readonly workload: string;
  readonly target: string;
  readonly round: number;
  readonly value: number;
  readonly meanLatencyUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** CPU time of the storage's processes for one I/O. */
  readonly cpuUsPerIo: number;
}

export interface Cell {
  readonly value: number;
  readonly ratio: number;
  readonly meanLatencyUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly cpuUsPerIo: number;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function figureOf(workload: Workload, result: FioResult): number {
  switch (workload.figure) {
    case 'read_iops':
      return result.read.iops;
    case 'write_iops':
      return result.write.iops;
    case 'mixed_iops':
      return result.read.iops + result.write.iops;
    case 'read_bytes':
      return result.read.bytesPerSecond;
    case 'write_bytes':
      return result.write.bytesPerSecond;
  }
}

/**
 * The cell of a table. The ratio is the median of the rounds' ratios, each to
 * the raw run of the same round: what disturbs the machine for a while then
 * disturbs both.
 */
export function cellOf(
  samples: readonly Sample[],
  workload: string,
  target: string,
  raw: string,
): Cell | undefined {
  const own = samples.filter((s) => s.workload === workload && s.target === target);
  if (own.length === 0) return undefined;
  const ratios = own.flatMap((sample) => {
    const base = samples.find(
      (s) => s.workload === workload && s.target === raw && s.round === sample.round,
    );
    return base === undefined ? [] : [sample.value / base.value];
  });
  const of = (pick: (sample: Sample) => number): number => median(own.map(pick));
  return {
    value: of((s) => s.value),
    ratio: median(ratios),
    meanLatencyUs: of((s) => s.meanLatencyUs),
    p50Us: of((s) => s.p50Us),
    p99Us: of((s) => s.p99Us),
    cpuUsPerIo: of((s) => s.cpuUsPerIo),
  };
}
