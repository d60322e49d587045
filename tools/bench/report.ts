import { readFile } from 'node:fs/promises';
import os from 'node:os';
import type { Figures } from './operations.js';
import { cellOf, type Cell, type Sample } from './statistics.js';
import { rawName } from './targets.js';
import type { Workload } from './workloads.js';

export interface Report {
  readonly machine: string;
  readonly date: string;
  readonly rounds: number;
  readonly secondsEach: number;
  readonly samples: readonly Sample[];
  readonly figures: Readonly<Record<string, Figures>>;
  readonly remarks: readonly string[];
}

export async function describeMachine(): Promise<string> {
  const cpus = os.cpus();
  const memory = (os.totalmem() / 1024 ** 3).toFixed(0);
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const distribution = /^PRETTY_NAME="(.*)"$/m.exec(release)?.[1] ?? 'Linux';
  const cpu = cpus[0]?.model.trim() ?? 'unknown CPU';
  const parts = [`${cpus.length} cores (${cpu})`, `${memory} GiB`, distribution];
  return [...parts, `kernel ${os.release()}`, `Node ${process.version}`].join(', ');
}

function number(value: number): string {
  if (Number.isNaN(value)) return '-';
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function shownValue(workload: Workload, cell: Cell): string {
  return workload.figure.endsWith('bytes')
    ? `${number(cell.value / 1024 ** 2)} MiB/s`
    : `${number(cell.value)} IOPS`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** The Markdown of docs/benchmarks.md. */
export function markdown(report: Report, workloads: readonly Workload[]): string {
  const targets = [...new Set(report.samples.map((sample) => sample.target))];
  const grid = (title: string, show: (workload: Workload, cell: Cell) => string): string => {
    const rows = workloads.map((workload) => [
      workload.name,
      ...targets.map((target) => {
        const cell = cellOf(report.samples, workload.name, target, rawName);
        return cell === undefined ? '-' : show(workload, cell);
      }),
    ]);
    return `### ${title}\n\n${table(['workload', ...targets], rows)}`;
  };
  const figures = Object.entries(report.figures).map(([title, values]) => {
    const rows = Object.entries(values).map(([name, value]) => [name, number(value)]);
    return `### ${title}\n\n${table(['what', 'value'], rows)}`;
  });
  return [
    `Measured ${report.date} on: ${report.machine}.`,
    `Medians of ${report.rounds} interleaved rounds of ${report.secondsEach} s each. \`raw\` is a loop device with direct I/O over a file of the same XFS; \`xN\` is the number of copies. All copies, the load and the storage share this machine's cores.`,
    ...report.remarks,
    grid('Ratio to raw', (_, cell) => number(cell.ratio)),
    grid('Measured', shownValue),
    grid('Mean latency, µs', (_, cell) => number(cell.meanLatencyUs)),
    grid('Latency, median / 99th percentile, µs', (_, cell) => {
      return `${number(cell.p50Us)} / ${number(cell.p99Us)}`;
    }),
    grid("CPU of the storage's processes for one I/O, µs", (_, cell) => number(cell.cpuUsPerIo)),
    ...figures,
  ].join('\n\n');
}
