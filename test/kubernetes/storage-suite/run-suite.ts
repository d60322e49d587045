import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { regionlessTag, writeDriverDefinitions } from './driver-definition.js';
import { readReport, type SpecResult } from './suite-report.js';

export interface SuiteOptions {
  readonly directory: string;
  readonly timeoutMs: number;
  /** Specs at the same time. */
  readonly workers: number;
  /** A regular expression on the specs' names, for a person who looks for one fault. */
  readonly focus?: string | undefined;
  readonly onOutput: (text: string) => void;
}

/** Specs that a driver without topology keys is asked for; one with keys has no need of them. */
const regionless = [
  'Dynamic.PV.\\(default.fs\\)\\].capacity',
  'Generic.Ephemeral-volume.\\(default.fs\\).\\(immediate-binding\\)',
];
const keyed = 'External.Storage.\\[Driver:.[^]]*\\].\\[Testpattern:.';
const unkeyed = `External.Storage.\\[Driver:.[^]]*\\].${regionlessTag}.\\[Testpattern:.`;

const leftOut = ['\\[Disruptive\\]', '\\[Serial\\]', '\\[Slow\\]', 'Windows', 'SELinux'];

/** Runs the Kubernetes project's storage tests against the driver that the cluster has. */
export async function runStorageSuite(
  cluster: KubernetesCluster,
  options: SuiteOptions,
): Promise<SpecResult[]> {
  await mkdir(options.directory, { recursive: true });
  const drivers = await writeDriverDefinitions(options.directory);
  const focus = [keyed, ...regionless.map((spec) => unkeyed + spec)];
  const report = path.join(options.directory, 'report.json');
  const binDir = cluster.options.programs.kubernetes;
  const words = [
    path.join(binDir, 'ginkgo'),
    `--procs=${options.workers}`,
    '--no-color',
    '--succinct',
    '--silence-skips',
    `--timeout=${Math.floor(options.timeoutMs / 1000)}s`,
    ...focus.map((names) => `--focus=${names}.*${options.focus ?? ''}`),
    `--skip=${[...leftOut, ...regionless.map((spec) => keyed + spec)].join('|')}`,
    `--output-dir=${options.directory}`,
    '--json-report=report.json',
    path.join(binDir, 'e2e.test'),
    '--',
    '--provider=local',
    `--kubeconfig=${cluster.kubeconfig}`,
    `--kubectl-path=${path.join(binDir, 'kubectl')}`,
    ...drivers.map((file) => `--storage.testdriver=${file}`),
    // Three nodes and no cloud: nothing to wait for, nobody to ask.
    '--allowed-not-ready-nodes=0',
    '--num-nodes=3',
    '--delete-namespace-on-failure=true',
  ];
  const { timeoutMs, onOutput } = options;
  const ended = await cluster.runBeside(words, { timeoutMs: timeoutMs + 60_000, onOutput });
  const specs = await readReport(report).catch((error: unknown) => {
    throw new Error(`the suite left no report: ${ended.stderr.slice(-2000)}`, { cause: error });
  });
  const failed = specs.some((spec) => spec.outcome === 'failed');
  // An end that the report does not explain is a failure too.
  if (ended.code !== 0 && !failed) {
    throw new Error(`the suite ended with ${ended.code}: ${ended.stdout.slice(-2000)}`);
  }
  return specs;
}
