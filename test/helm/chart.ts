import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { tryRun, type RunResult } from '../../tools/lib/run.js';
import { imagePaths } from '../kubernetes/images/paths.js';

export const rootDir = path.resolve(__dirname, '../..');
export const chartDir = path.join(rootDir, 'deploy/helm');

/** What of an object the tests look at. */
export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly rules?: readonly Rule[];
  readonly spec?: Readonly<Record<string, unknown>>;
}

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

/** helm 4 as the suite of Kubernetes builds it, or one from PATH. */
function findHelm(): string | undefined {
  const { cacheDir } = imagePaths(rootDir);
  const built = (existsSync(cacheDir) ? readdirSync(cacheDir) : [])
    .filter((name) => name.startsWith('helm-'))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => path.join(cacheDir, name, 'bin/helm'))
    .reverse();
  const inPath = (process.env['PATH'] ?? '').split(':').map((dir) => path.join(dir, 'helm'));
  return [...built, ...inPath].find((file) => existsSync(file));
}

/** A suite that needs helm; where there is none, its name says so. */
export function describeWithHelm(name: string, tests: (helm: Helm) => void): void {
  const program = findHelm();
  if (program === undefined) {
    describe.skip(`${name} (skipped: needs helm, which npm run test:kubernetes builds)`, () =>
      tests(new Helm('helm')));
  } else describe(name, () => tests(new Helm(program)));
}

export class Helm {
  constructor(private readonly program: string) {}

  run(...args: string[]): Promise<RunResult> {
    return tryRun(this.program, args, { timeoutMs: 60_000, cwd: rootDir });
  }

  /** The manifest's text, of a release "px" in the namespace "portworx". */
  async template(...args: string[]): Promise<string> {
    const result = await this.run('template', 'px', chartDir, '--namespace', 'portworx', ...args);
    if (result.code !== 0) throw new Error(result.stderr.trim());
    return result.stdout;
  }

  async objects(...args: string[]): Promise<Rendered[]> {
    return parseAllDocuments(await this.template(...args))
      .map((document) => document.toJS() as Rendered | null)
      .filter((object) => object !== null);
  }
}

export function objectOf(objects: readonly Rendered[], kind: string, name: string): Rendered {
  const found = objects.filter((one) => one.kind === kind && one.metadata.name === name);
  const [object] = found;
  if (object === undefined || found.length > 1) {
    throw new Error(`${found.length} objects ${kind} ${name} instead of one`);
  }
  return object;
}
