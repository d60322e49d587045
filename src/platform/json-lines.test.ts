import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PxError } from '../kernel/errors.js';
import { callJsonLines, serveJsonLines } from './json-lines.js';

const directory = mkdtempSync(join(tmpdir(), 'px-lines-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('answers, errors with their code and fields, and answers out of order', async () => {
  const path = join(directory, 'a.sock');
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const server = await serveJsonLines(path, async (method, params) => {
    if (method === 'fail') throw new PxError('not_found', 'no such thing', { name: 'x' });
    if (method === 'slow') await held;
    return { method, params };
  });
  expect(await callJsonLines(path, 'echo', { text: 'ä\u2028\n' }, 5_000)).toEqual({
    method: 'echo',
    params: { text: 'ä\u2028\n' },
  });
  await expect(callJsonLines(path, 'fail', {}, 5_000)).rejects.toMatchObject({
    code: 'not_found',
    fields: { name: 'x' },
  });
  const answers: string[] = [];
  const socket = createConnection(path);
  const both = new Promise<void>((resolve) => {
    socket.on('data', (data: Buffer) => {
      answers.push(data.toString());
      if (answers.length === 1) release();
      else resolve();
    });
  });
  // The second line arrives in two pieces.
  socket.write('{"id":1,"method":"slow"}\n{"id":2,"met');
  socket.write('hod":"echo"}\n');
  await both;
  expect(answers.map((line) => (JSON.parse(line) as { id: number }).id)).toEqual([2, 1]);
  socket.destroy();
  await server.close();
});

test('nobody there, no answer in time, a line that is no JSON', async () => {
  const path = join(directory, 'b.sock');
  await expect(callJsonLines(path, 'x', {}, 1_000)).rejects.toMatchObject({ code: 'unavailable' });
  const server = await serveJsonLines(path, () => new Promise(() => undefined));
  await expect(callJsonLines(path, 'x', {}, 50)).rejects.toMatchObject({
    code: 'deadline_exceeded',
  });
  const answer = await new Promise<string>((resolve) => {
    const socket = createConnection(path, () => socket.write('nonsense\n'));
    socket.on('data', (data: Buffer) => {
      socket.destroy();
      resolve(data.toString());
    });
  });
  expect(JSON.parse(answer)).toMatchObject({ id: null, error: { code: 'internal' } });
  await server.close();
});
