import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { KubernetesCluster, type ClusterOptions } from '../cluster/cluster.js';
import { collectDiagnostics } from './diagnostics.js';
import type { CaseHelpers, Counts, KubernetesCase } from './types.js';

export interface RunOptions {
  readonly rootDir: string;
  readonly cases: readonly KubernetesCase[];
  readonly cluster: ClusterOptions;
  /** Leaves the cluster of a failed case, or of the last one, as it is. */
  readonly keep: boolean;
  /** The archives of images by their names. */
  readonly imageArchives: (names: readonly string[]) => Promise<readonly string[]>;
  readonly say: (text: string) => void;
  /** Interrupted from outside: the cluster is taken down all the same. */
  readonly signal: AbortSignal;
}

/**
 * Runs cases one after the other on one cluster. A case that failed may have
 * left anything behind, so that the next one gets a new cluster.
 */
export class CaseRunner {
  private cluster: KubernetesCluster | undefined;
  private loaded = new Set<string>();
  private readonly options: RunOptions;

  constructor(options: RunOptions) {
    this.options = options;
  }

  async run(): Promise<Counts> {
    const { cases, keep, say, signal } = this.options;
    let counts: Counts = { passed: 0, failed: 0, skipped: 0 };
    try {
      for (const test of cases) {
        if (signal.aborted) break;
        const result = await this.runCase(test);
        counts = {
          passed: counts.passed + result.passed,
          failed: counts.failed + result.failed,
          skipped: counts.skipped + result.skipped,
        };
        if (result.failed > 0 && keep) break;
        if (result.failed > 0) await this.takeDown();
      }
      // A cluster that can't be removed, or has changed the machine, fails the run.
      if (!keep) await this.takeDown();
      else say(`kept: ${this.options.cluster.dir}`);
    } catch (error) {
      say(`FAILED taking the cluster down: ${messageOf(error)}`);
      counts = { ...counts, failed: counts.failed + 1 };
    }
    if (signal.aborted) counts = { ...counts, failed: counts.failed + 1 };
    return counts;
  }

  private async takeDown(): Promise<void> {
    const cluster = this.cluster;
    this.cluster = undefined;
    this.loaded = new Set();
    // One that did not come up has left its parts.
    if (cluster === undefined) await KubernetesCluster.remove(this.options.cluster.dir);
    else await cluster.stop();
  }

  private async prepare(test: KubernetesCase): Promise<KubernetesCluster> {
    const missing = test.images.filter((name) => !this.loaded.has(name));
    const archives = await this.options.imageArchives(missing);
    this.cluster ??= await KubernetesCluster.start(this.options.cluster);
    for (const archive of archives) await this.cluster.loadImage(archive);
    for (const name of missing) this.loaded.add(name);
    return this.cluster;
  }

  private async runCase(test: KubernetesCase): Promise<Counts> {
    const { say, rootDir, signal } = this.options;
    const artifactDir = path.join(rootDir, '.cache/kubernetes/failed', test.name);
    await rm(artifactDir, { recursive: true, force: true });
    await mkdir(artifactDir, { recursive: true });
    const namespace = `case-${test.name}`;
    say(`\n--- ${test.name}`);
    const began = performance.now();
    const elapsed = (): string => `${((performance.now() - began) / 1000).toFixed(0)} s`;
    try {
      const cluster = await this.prepare(test);
      await cluster.kubectl(['create', 'namespace', namespace]);
      const timeout = AbortSignal.timeout(test.timeoutMs);
      const helpers = this.helpers(namespace, artifactDir, AbortSignal.any([timeout, signal]));
      const counts = await Promise.race([test.run(cluster, helpers), ended(helpers.signal, test)]);
      await cluster.kubectl(['delete', 'namespace', namespace], { timeoutMs: 180_000 });
      const told = counts ?? { passed: 1, failed: 0, skipped: 0 };
      say(`${told.failed > 0 ? 'FAILED' : 'passed'} ${test.name} (${elapsed()})`);
      if (told.failed === 0) await rm(artifactDir, { recursive: true, force: true });
      else await this.diagnose(artifactDir);
      return told;
    } catch (error) {
      say(`FAILED ${test.name} (${elapsed()}): ${messageOf(error)}`);
      await this.diagnose(artifactDir);
      return { passed: 0, failed: 1, skipped: 0 };
    }
  }

  private async diagnose(dir: string): Promise<void> {
    // Whoever interrupts a run wants it to end.
    if (this.options.signal.aborted) return;
    try {
      const cluster = this.cluster ?? (await KubernetesCluster.open(this.options.cluster.dir));
      await collectDiagnostics(cluster, dir);
      this.options.say(`objects, events and logs are in ${dir}`);
    } catch (error) {
      this.options.say(`no more is known: ${messageOf(error)}`);
    }
  }

  private helpers(namespace: string, artifactDir: string, signal: AbortSignal): CaseHelpers {
    const { say, rootDir } = this.options;
    return {
      rootDir,
      namespace,
      artifactDir,
      signal,
      say: (text) => say(`    ${text}`),
      step: async (name, act) => {
        const began = performance.now();
        try {
          return await act();
        } catch (error) {
          throw new Error(`${name}: ${messageOf(error)}`, { cause: error });
        } finally {
          say(`    ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
        }
      },
    };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function ended(signal: AbortSignal, test: KubernetesCase): Promise<never> {
  return new Promise((_, reject) => {
    const fail = (): void =>
      reject(new Error(`not done after ${test.timeoutMs / 1000} s, or interrupted`));
    if (signal.aborted) fail();
    signal.addEventListener('abort', fail, { once: true });
  });
}
