import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shortenLog } from './bounded-log.js';

test('a log over its bound becomes the old part, and appending writers go on in the new one', () => {
  const directory = mkdtempSync(join(tmpdir(), 'px-log-'));
  const path = join(directory, 'holder.log');
  const descriptor = openSync(path, 'a');
  try {
    writeSync(descriptor, 'x'.repeat(100));
    expect(shortenLog(descriptor, path, 100)).toBe(false);
    appendFileSync(path, 'y');
    expect(shortenLog(descriptor, path, 100)).toBe(true);
    writeSync(descriptor, 'after');
    expect(readFileSync(path, 'utf8')).toBe('after');
    expect(readFileSync(`${path}.1`, 'utf8')).toBe(`${'x'.repeat(100)}y`);
  } finally {
    closeSync(descriptor);
    rmSync(directory, { recursive: true });
  }
});
