import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, type Logger } from '../../platform/logger.js';
import { awaitFile } from './await-file.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'px-await-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A log, and what resolves when it got its first line: the watch has begun then. */
function listening(): { logger: Logger; said: Promise<string> } {
  let say: (message: string) => void = () => undefined;
  const said = new Promise<string>((resolve) => (say = resolve));
  return { logger: { ...silentLogger, info: (message) => say(message) }, said };
}

test('a file that is there is not waited for', async () => {
  writeFileSync(join(directory, 'n1.json'), '{}');
  const { logger, said } = listening();
  await awaitFile(join(directory, 'n1.json'), logger);
  logger.info('nothing before this');
  expect(await said).toBe('nothing before this');
});

test('the kubelet’s replacement of a ConfigMap volume is noticed', async () => {
  const put = (version: string, names: readonly string[]): void => {
    mkdirSync(join(directory, version));
    for (const name of names) writeFileSync(join(directory, version, name), '{}');
    symlinkSync(version, join(directory, '..data_tmp'));
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
  };
  put('..1', ['n2.json']);
  const { logger, said } = listening();
  const waiting = awaitFile(join(directory, 'n1.json'), logger);
  expect(await said).toBe(`waiting for n1.json to appear in ${directory}`);
  put('..2', ['n1.json', 'n2.json']);
  symlinkSync('..data/n1.json', join(directory, 'n1.json'));
  await waiting;
});

test('also a directory that is not there yet is waited for', async () => {
  const { logger, said } = listening();
  const waiting = awaitFile(join(directory, 'etc/n1.json'), logger);
  expect(await said).toBe(`waiting for etc to appear in ${directory}`);
  mkdirSync(join(directory, 'etc'));
  writeFileSync(join(directory, 'etc/n1.json'), '{}');
  await waiting;
});
