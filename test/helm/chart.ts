import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { tryRun, type RunResult } from '../../tools/lib/run.js';
import { buildModule } from '../kubernetes/build/programs.js';

const rootDir = path.resolve(__dirname, '../..');
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

/** helm 4 is built from test/kubernetes/tools, once; that takes Go, and a minute. */
const buildTimeoutMs = 15 * 60_000;
const toolsDir = path.join(rootDir, 'test/kubernetes/tools');

/** A suite that needs helm; where it can't be had, its name says so. */
export function describeWithHelm(name: string, tests: (helm: Helm) => void): void {
  const search = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/go/bin'];
  if (!search.some((dir) => existsSync(path.join(dir, 'go')))) {
    describe.skip(`${name} (skipped: helm is built with Go, and there is none)`, () =>
      tests(new Helm()));
    return;
  }
  describe(name, () => {
    const helm = new Helm();
    beforeAll(() => helm.find(), buildTimeoutMs);
    tests(helm);
  });
}

export class Helm {
  private program = 'helm';

  async find(): Promise<void> {
    const say = (text: string): void => void process.stderr.write(`${text}\n`);
    const { binDir } = await buildModule('helm', { toolsDir, say });
    this.program = path.join(binDir, 'helm');
  }

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
