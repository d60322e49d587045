import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig, readConfig } from './config.js';
import { exportFiles } from './exported-files.js';

let root: string;
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'px-secrets-'))));
afterEach(() => rmSync(root, { recursive: true }));

const config = (changes: object) =>
  JSON.stringify({
    ...{ clusterid: 'c', kvdb: 'https://a:2379', storage: { directory: '/p' } },
    ...{ runDir: join(root, 'run'), ...changes },
  });

test('credentials are copied to the host’s directory, other content under another name', () => {
  const tls = {
    certFile: join(root, 'a.crt'),
    keyFile: join(root, 'a.key'),
    caFile: join(root, 'ca'),
  };
  for (const file of [...Object.values(tls), join(root, 'kvdb-ca')]) writeFileSync(file, file);
  const parsed = parseConfig(config({ tls, kvdbCaFile: join(root, 'kvdb-ca') }), 'f', {});
  const first = exportFiles(parsed);
  expect(readFileSync(first.tls?.keyFile ?? '', 'utf8')).toBe(tls.keyFile);
  expect(readFileSync(first.kvdbCaFile ?? '', 'utf8')).toBe(join(root, 'kvdb-ca'));
  expect(exportFiles(parsed)).toEqual(first);
  writeFileSync(tls.keyFile, 'another');
  const second = exportFiles(parsed);
  expect(second.tls?.keyFile).not.toBe(first.tls?.keyFile);
  expect(second.tls?.caFile).toBe(first.tls?.caFile);
  // The old key is of no use to anybody and must not lie around.
  expect(readdirSync(join(root, 'run/credentials'))).toHaveLength(4);
});

test('a Secret’s files give user and password; a missing one is named by its field', () => {
  const file = join(root, 'n1.json');
  for (const [name, text] of [
    ['user', 'px\n'],
    ['password', ' s3cret \n'],
  ] as const) {
    writeFileSync(join(root, name), text);
  }
  const kvdbUsernameFile = join(root, 'user');
  writeFileSync(file, config({ kvdbUsernameFile, kvdbPasswordFile: join(root, 'password') }));
  expect(readConfig(file, {}).config).toMatchObject({
    kvdbUsername: 'px',
    kvdbPassword: ' s3cret ',
  });
  writeFileSync(file, config({ kvdbPasswordFile: join(root, 'gone') }));
  expect(() => readConfig(file, {})).toThrow('kvdbPasswordFile: cannot read');
  writeFileSync(file, config({ kvdbUsername: 'x', kvdbUsernameFile }));
  expect(() => readConfig(file, {})).toThrow('kvdbUsernameFile: must not be given together');
});
