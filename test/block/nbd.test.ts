import { truncateSync, writeFileSync, readFileSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../../src/platform/testing-ports.js';
import { BlockBench, sh } from '../support/block-bench.js';
import type { TestVolumeSettings } from '../support/block-engine/messages.js';

jest.setTimeout(180_000);

const sizeBytes = 128 * 1024 * 1024;
let bench: BlockBench;
let socket: string;
let volumes: Record<string, TestVolumeSettings>;
const uri = (name: string): string => `nbd+unix:///${name}?socket=${socket}`;

beforeAll(async () => {
  bench = await BlockBench.start();
  socket = join(bench.runDir, 'nbd.sock');
  const make = (name: string, rest: Partial<TestVolumeSettings> = {}): TestVolumeSettings => {
    const image = join(bench.runDir, 'images', name);
    writeFileSync(image, '');
    truncateSync(image, sizeBytes);
    return { sizeBytes, blockSizeBytes: 4096, readOnly: false, image, ...rest };
  };
  volumes = {
    first: make('first'),
    second: make('second', { blockSizeBytes: 512 }),
    frozen: make('frozen', { readOnly: true }),
    third: make('third'),
  };
  await bench.engine('serveNbd', { socket, volumes });
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

test('nbdinfo: the list and what an export can do', async () => {
  const info = JSON.parse(await sh('nbdinfo', ['--json', uri('second')])) as {
    protocol: string;
    structured: boolean;
    exports: Record<string, unknown>[];
  };
  expect(info.protocol).toBe('newstyle-fixed');
  expect(info.structured).toBe(true);
  expect(info.exports[0]).toMatchObject({
    'export-size': sizeBytes,
    is_read_only: false,
    can_multi_conn: true,
    can_flush: true,
    can_fua: true,
    can_trim: true,
    can_zero: true,
    block_size_minimum: 512,
    block_size_maximum: 1024 * 1024,
  });
  const list = JSON.parse(await sh('nbdinfo', ['--json', '--list', uri('')])) as {
    exports: Record<string, unknown>[];
  };
  expect(list.exports.map((entry) => entry['export-name'])).toEqual(Object.keys(volumes));
  expect((await sh('nbdinfo', ['--is', 'readonly', uri('frozen')])).trim()).toBe('');
  await expect(sh('nbdinfo', [uri('nobody')])).rejects.toThrow();
});

test('nbdcopy in over several connections, out again, and qemu-img agree', async () => {
  const source = join(bench.runDir, 'source');
  await sh('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', 'count=100', 'status=none']);
  truncateSync(source, sizeBytes);
  await sh('nbdcopy', ['--connections=4', '--flush', source, uri('first')]);
  expect(await sh('cmp', [source, volumes.first?.image ?? ''])).toBe('');
  const copy = join(bench.runDir, 'copy');
  await sh('nbdcopy', [uri('first'), copy]);
  expect(await sh('cmp', [source, copy])).toBe('');
  await sh('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', source, uri('third')]);
  const compared = await sh('qemu-img', [
    ...['compare', '-f', 'raw', '-F', 'raw', uri('third'), uri('first')],
  ]);
  expect(compared).toContain('identical');
});

test('fio with verification at depth', async () => {
  await sh('fio', [
    ...['--name=nbd', '--ioengine=nbd', `--uri=${uri('second')}`, '--rw=randrw'],
    ...[
      '--bsrange=4k-1m',
      '--iodepth=32',
      '--verify=crc32c',
      '--verify_state_save=0',
      '--verify_fatal=1',
      '--size=96m',
    ],
  ]);
  expect((await bench.counts('second')).writes).toBeGreaterThan(10);
});

test('forced unit access flushes, trim gives space back, a read-only export refuses', async () => {
  const nbdsh = (name: string, script: string): Promise<string> =>
    sh('/usr/bin/qemu-io', ['-f', 'raw', '-c', script, uri(name)]);
  const before = await bench.counts('third');
  await nbdsh('third', 'write -f -P 7 0 64k');
  const after = await bench.counts('third');
  expect(after.flushes - before.flushes).toBeGreaterThanOrEqual(1);
  expect(readFileSync(volumes.third?.image ?? '')[65535]).toBe(7);
  const blocks = statSync(volumes.third?.image ?? '').blocks;
  await nbdsh('third', 'discard 0 64M');
  await nbdsh('third', 'write -z 64M 16M');
  expect(statSync(volumes.third?.image ?? '').blocks).toBeLessThan(blocks);
  expect((await bench.counts('third')).zeroedBytes - after.zeroedBytes).toBe(80 * 1024 * 1024);
  await expect(nbdsh('frozen', 'write 0 4k')).rejects.toThrow('Permission denied');
  expect((await bench.counts('frozen')).writes).toBe(0);
});

test('clients that break off or talk nonsense cost nothing', async () => {
  const greeted = (after: (send: (data: Buffer) => void) => void): Promise<void> =>
    new Promise((resolve) => {
      const client = createConnection(socket);
      client.once('data', () => after((data) => client.end(data)));
      client.on('error', () => undefined);
      client.on('close', () => resolve());
      client.on('end', () => client.end());
    });
  const go = Buffer.alloc(4 + 16 + 6);
  go.writeUInt32BE(1, 0);
  go.write('IHAVEOPT', 4);
  go.writeUInt32BE(7, 12);
  go.writeUInt32BE(6, 16);
  const write = Buffer.alloc(28);
  write.writeUInt32BE(0x25609513, 0);
  write.writeUInt16BE(1, 6);
  write.writeUInt32BE(65536, 24);
  // 300 connections, each leaving a slot with half a payload: more than there are slots.
  for (let round = 0; round < 300; round++) {
    await greeted((send) => send(Buffer.concat([go, write, Buffer.alloc(100)])));
  }
  await greeted((send) => send(Buffer.from('GET / HTTP/1.1\r\n\r\n')));
  await greeted((send) => send(Buffer.concat([go, Buffer.alloc(28, 1)])));
  const before = await bench.counts('first');
  await sh('nbdcopy', [uri('first'), 'null:']);
  const after = await bench.counts('first');
  expect(after.reads).toBeGreaterThan(before.reads);
  expect(after.writes).toBe(before.writes);
});

test('the same over TCP, with more requests at once than there are slots', async () => {
  const port = await freePort();
  await bench.engine('serveNbd', { socket: String(port), volumes });
  const load = (name: string): Promise<string> =>
    sh('fio', [
      ...[`--name=${name}`, '--ioengine=nbd', `--uri=nbd://127.0.0.1:${port}/${name}`],
      ...[
        '--rw=randwrite',
        '--bs=4k',
        '--iodepth=200',
        '--verify=crc32c',
        '--verify_state_save=0',
        '--size=32m',
      ],
    ]);
  await Promise.all(['first', 'second', 'third'].map(load));
  expect((await bench.counts('third')).writes).toBeGreaterThan(1000);
});
