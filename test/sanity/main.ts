import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tryRun } from '../../tools/lib/run.js';
import { mountsBelow } from '../support/csi-harness.js';
import { findCsiSanity } from './csi-sanity.js';
import { readReport, type Outcome } from './report.js';
import { fakeTarget, realTarget, type SanityTarget } from './target.js';

/** `npm run test:sanity`: csi-sanity against px-csi. `--fake` leaves the cluster out. */
interface Pass {
  readonly name: string;
  readonly accessType: 'mount' | 'block';
  readonly parameters: Readonly<Record<string, string>>;
}

const passes: readonly Pass[] = [
  { name: 'ext4, 3 replicas', accessType: 'mount', parameters: { repl: '3', fs: 'ext4' } },
  { name: 'xfs, 2 replicas', accessType: 'mount', parameters: { repl: '2', fs: 'xfs' } },
  { name: 'raw block, 2 replicas', accessType: 'block', parameters: { repl: '2' } },
];

const gib = 1024 ** 3;
const passTimeoutMs = 6 * 60_000;
const rootDir = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function runPass(program: string, target: SanityTarget, pass: Pass): Promise<Outcome> {
  const dir = await mkdtemp(join(tmpdir(), 'px-sanity-run-'));
  const reportFile = join(dir, 'report.json');
  const parameterFile = join(dir, 'parameters.yaml');
  try {
    await writeFile(parameterFile, JSON.stringify(pass.parameters));
    const ended = await tryRun(
      program,
      [
        `--csi.endpoint=unix://${target.nodeSocket}`,
        `--csi.controllerendpoint=unix://${target.controllerSocket}`,
        `--csi.mountdir=${join(dir, 'mount')}`,
        `--csi.stagingdir=${join(dir, 'staging')}`,
        `--csi.testvolumeaccesstype=${pass.accessType}`,
        `--csi.testvolumesize=${gib}`,
        `--csi.testvolumeexpandsize=${2 * gib}`,
        `--csi.testvolumeparameters=${parameterFile}`,
        `--ginkgo.json-report=${reportFile}`,
        '--ginkgo.no-color',
        ...focusFlags(),
      ],
      { timeoutMs: passTimeoutMs },
    );
    const report = await readFile(reportFile, 'utf8').catch(() => undefined);
    if (report === undefined) {
      const said = (ended.stderr || ended.stdout).trim().slice(-2000);
      return { passed: 0, failures: [`csi-sanity ended with ${ended.code}: ${said}`], skips: [] };
    }
    const outcome = readReport(report);
    if (ended.code !== 0 && outcome.failures.length === 0) {
      return { ...outcome, failures: [`csi-sanity ended with ${ended.code}`] };
    }
    return outcome;
  } finally {
    // A run that was cut off leaves volumes mounted, and rm would empty them.
    for (const path of await mountsBelow(dir)) await tryRun('umount', ['-l', path]);
    await rm(dir, { recursive: true, force: true });
  }
}

/** `--focus TEXT` runs the tests whose name has the text. */
function focusFlags(): string[] {
  const at = process.argv.indexOf('--focus');
  return at < 0 ? [] : [`--ginkgo.focus=${process.argv[at + 1] ?? ''}`];
}

async function main(): Promise<number> {
  const program = await findCsiSanity(say);
  const fake = process.argv.includes('--fake');
  const target = await (fake ? fakeTarget(rootDir) : realTarget(rootDir));
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  try {
    say(`csi-sanity against ${target.described}`);
    for (const pass of passes) {
      const started = performance.now();
      const outcome = await runPass(program, target, pass);
      const seconds = Math.round((performance.now() - started) / 1000);
      passed += outcome.passed;
      failed += outcome.failures.length;
      skipped += outcome.skips.length;
      say(
        `${pass.name}: ${outcome.passed} of csi-sanity's tests hold, ` +
          `${outcome.failures.length} do not, ` +
          `${outcome.skips.length} are for capabilities not claimed (${seconds} s)`,
      );
      for (const failure of outcome.failures) say(`  FAILED ${failure}`);
    }
  } finally {
    await target.close();
  }
  const resultFile = join(rootDir, '.cache/sanity-result.json');
  await mkdir(dirname(resultFile), { recursive: true });
  await writeFile(resultFile, JSON.stringify({ passed, failed, skipped, fake }));
  say(`Tests: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    say(`test:sanity: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
