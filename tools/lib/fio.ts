import { spawn, type ChildProcess } from 'node:child_process';
import { nodeVariable, tagVariable } from '../devcluster/layout.js';

/** One fio job; `options` are fio's own names and values. */
export type FioOptions = Readonly<Record<string, string | number>>;

export interface FioSide {
  readonly iops: number;
  readonly bytesPerSecond: number;
  readonly bytes: number;
  readonly meanLatencyUs: number;
  /** Completion latency: '50.000000' -> µs. */
  readonly percentilesUs: Readonly<Record<string, number>>;
}

export interface FioResult {
  readonly error: number;
  readonly read: FioSide;
  readonly write: FioSide;
  readonly syncMeanUs: number;
  readonly runtimeMs: number;
}

interface RawSide {
  iops: number;
  bw_bytes: number;
  io_bytes: number;
  lat_ns: { mean: number };
  clat_ns: { percentile?: Record<string, number> };
}

interface RawJob {
  error: number;
  job_runtime: number;
  read: RawSide;
  write: RawSide;
  sync?: { lat_ns?: { mean?: number } };
}

function sideOf(raw: RawSide): FioSide {
  const percentiles = Object.entries(raw.clat_ns.percentile ?? {});
  return {
    iops: raw.iops,
    bytesPerSecond: raw.bw_bytes,
    bytes: raw.io_bytes,
    meanLatencyUs: raw.lat_ns.mean / 1000,
    percentilesUs: Object.fromEntries(percentiles.map(([name, ns]) => [name, ns / 1000])),
  };
}

export function fioArgs(options: FioOptions): string[] {
  // fio would leave its verification state in the working directory.
  const args = ['--name=job', '--output-format=json', '--verify_state_save=0'];
  for (const [name, value] of Object.entries(options)) args.push(`--${name}=${value}`);
  return args;
}

/** fio writes its warnings before the JSON; the report starts at the first line of a brace. */
export function parseFio(output: string): FioResult {
  const start = output.search(/^\{/m);
  if (start < 0) throw new Error(`fio gave no report: ${output.slice(0, 500)}`);
  const report = JSON.parse(output.slice(start, output.lastIndexOf('}') + 1)) as {
    jobs: RawJob[];
  };
  const job = report.jobs[0];
  if (job === undefined) throw new Error('fio reported no job');
  return {
    error: job.error,
    read: sideOf(job.read),
    write: sideOf(job.write),
    syncMeanUs: (job.sync?.lat_ns?.mean ?? 0) / 1000,
    runtimeMs: job.job_runtime,
  };
}

/** A running fio; it belongs to a node, so that killing the node kills its load too. */
export class FioRun {
  readonly done: Promise<FioResult>;
  readonly child: ChildProcess;
  private readonly output: string[] = [];

  constructor(options: FioOptions, owner?: { readonly tag: string; readonly node: string }) {
    const env =
      owner === undefined
        ? process.env
        : { ...process.env, [tagVariable]: owner.tag, [nodeVariable]: owner.node };
    this.child = spawn('fio', fioArgs(options), { stdio: ['ignore', 'pipe', 'pipe'], env });
    const { child } = this;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => this.output.push(text));
    const errors: string[] = [];
    child.stderr?.setEncoding('utf8').on('data', (text: string) => errors.push(text));
    const report = new Promise<string>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        const said = this.output.join('');
        if (code !== 0) {
          const why = [...errors, said].join('\n').slice(0, 1500);
          reject(new Error(`fio ended with ${code ?? signal ?? '?'}: ${why}`));
          return;
        }
        resolve(said);
      });
    });
    this.done = report.then(parseFio);
    // Whoever started it awaits `done`, perhaps only after the node was killed.
    this.done.catch(() => undefined);
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Ends an endless load in an orderly way: fio finishes and verifies what is in flight. */
  stop(): void {
    this.child.kill('SIGINT');
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}

export function runFio(options: FioOptions): Promise<FioResult> {
  return new FioRun(options).done;
}
