import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { silentLogger } from '../../platform/logger.js';
import { installRuntime, removeUnusedRuntimes } from './install.js';
import { runtimePath } from './layout.js';

let root: string;
let directory: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'px-runtime-'));
  directory = join(root, 'runtime');
  mkdirSync(directory);
  writeFileSync(join(root, 'program'), 'one');
  writeFileSync(join(root, 'script'), 'two');
});
afterEach(() => rmSync(root, { recursive: true }));

const install = (pid = 1) =>
  installRuntime({
    directory,
    version: '1.2.3',
    files: [
      { source: join(root, 'program'), target: 'bin/node', executable: true },
      { source: join(root, 'script'), target: 'app/dist/main.js', executable: false },
    ],
    starter: { pid, startTime: '7' },
    logger: silentLogger,
  });
const prune = (keep: string, living: readonly number[] = []) =>
  removeUnusedRuntimes({
    ...{ directory, keep, logger: silentLogger },
    processLives: (pid) => living.includes(pid),
  });

test('is made once for each content, whole, whoever else starts at the same time', async () => {
  const made = await Promise.all([install(1), install(2), install(3)]);
  expect(new Set(made).size).toBe(1);
  const [path = ''] = made;
  expect(basename(path)).toMatch(/^1\.2\.3-[0-9a-f]{12}$/);
  expect(readdirSync(directory)).toEqual([basename(path)]);
  expect(readFileSync(join(path, 'app/dist/main.js'), 'utf8')).toBe('two');
  expect(statSync(join(path, 'bin/node')).mode & 0o777).toBe(0o755);
  writeFileSync(join(root, 'script'), 'three');
  expect(await install()).not.toBe(path);
});

test('removes what nothing runs from, and what dead starters left', async () => {
  const old = await install();
  writeFileSync(join(root, 'script'), 'newer');
  const kept = await install();
  for (const name of ['.new-11-7', '.new-12-7', '.old-1.0.0-abc']) mkdirSync(join(directory, name));
  await prune(kept, [12]);
  expect(existsSync(old)).toBe(false);
  expect(readdirSync(directory).sort()).toEqual(['.new-12-7', basename(kept)]);
});

test('keeps a runtime whose loader a process runs as', async () => {
  const [used = '', unused = ''] = ['1.0.0-a', '1.0.0-b'].map((name) => join(directory, name));
  for (const path of [used, unused]) {
    mkdirSync(join(path, 'lib'), { recursive: true });
    copyFileSync('/bin/sleep', join(path, runtimePath.loader));
  }
  const child = spawn(join(used, runtimePath.loader), ['100']);
  await once(child, 'spawn');
  try {
    await prune('');
    expect(readdirSync(directory)).toEqual([basename(used)]);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});
