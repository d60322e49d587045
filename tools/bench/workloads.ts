import type { FioOptions } from '../lib/fio.js';

/** What is measured; each on every target, one after the other, round by round. */
export interface Workload {
  readonly name: string;
  readonly options: FioOptions;
  /** What the ratio to raw is taken of: higher is better, or a latency. */
  readonly figure: 'read_iops' | 'write_iops' | 'read_bytes' | 'write_bytes' | 'mixed_iops';
}

/** The part of a device that is written before anything is measured. */
export const workingSetBytes = 512 * 1024 ** 2;

const random4k = { bs: '4k', norandommap: 1 };

export const workloads: readonly Workload[] = [
  {
    name: 'randread 4k QD1',
    options: { ...random4k, rw: 'randread', iodepth: 1 },
    figure: 'read_iops',
  },
  {
    name: 'randread 4k QD32',
    options: { ...random4k, rw: 'randread', iodepth: 32 },
    figure: 'read_iops',
  },
  {
    name: 'randwrite 4k QD1',
    options: { ...random4k, rw: 'randwrite', iodepth: 1 },
    figure: 'write_iops',
  },
  {
    name: 'randwrite 4k QD32',
    options: { ...random4k, rw: 'randwrite', iodepth: 32 },
    figure: 'write_iops',
  },
  {
    name: 'write 4k + fsync',
    options: { ...random4k, rw: 'randwrite', iodepth: 1, fsync: 1 },
    figure: 'write_iops',
  },
  {
    name: 'mixed 70/30 4k QD32',
    options: { ...random4k, rw: 'randrw', rwmixread: 70, iodepth: 32 },
    figure: 'mixed_iops',
  },
  {
    name: 'read 128k QD8',
    options: { bs: '128k', rw: 'read', iodepth: 8 },
    figure: 'read_bytes',
  },
  {
    name: 'write 128k QD8',
    options: { bs: '128k', rw: 'write', iodepth: 8 },
    figure: 'write_bytes',
  },
  { name: 'read 1M QD4', options: { bs: '1M', rw: 'read', iodepth: 4 }, figure: 'read_bytes' },
  { name: 'write 1M QD4', options: { bs: '1M', rw: 'write', iodepth: 4 }, figure: 'write_bytes' },
];
