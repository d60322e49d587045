import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEventFd, drainEventFd, Epoll, EpollEvent, signalEventFd } from './epoll.js';
import * as files from './files.js';
import { Errno } from './libc.js';
import { addressOf, allocateMemory, copyMemory, IoVector, mapFile } from './memory.js';
import * as sockets from './sockets.js';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'px-sys-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('a file: positioned and vectored transfers, holes, sizes', () => {
  const path = join(directory, 'file');
  const fd = files.openFile(path, files.OpenFlag.RDWR | files.OpenFlag.CREAT);
  expect(fd).toBeGreaterThan(0);
  const memory = allocateMemory(65536);
  expect(memory.address % 4096).toBe(0);
  const bytes = new Uint8Array(memory.buffer);
  bytes.fill(7, 0, 4096);
  expect(files.pwrite(fd, memory.address, 4096, 2 ** 40)).toBe(4096);
  expect(files.pread(fd, memory.address + 8192, 4096, 2 ** 40)).toBe(4096);
  expect(bytes[8192 + 4095]).toBe(7);
  expect(files.seekData(fd, 0)).toBe(2 ** 40);
  expect(files.punchHole(fd, 2 ** 40, 4096)).toBe(0);
  expect(files.seekData(fd, 0)).toBe(-Errno.ENXIO);
  expect(files.seekEnd(fd)).toBe(2 ** 40 + 4096);
  const vector = new IoVector(2);
  bytes.set(Buffer.from('abcd'), 0);
  vector.set(0, memory.address + 2, 2);
  vector.set(1, memory.address, 2);
  expect(files.pwritev(fd, vector.address, 2, 0)).toBe(4);
  expect(files.ftruncate(fd, 4)).toBe(0);
  expect(files.fdatasync(fd)).toBe(0);
  expect(readFileSync(path, 'utf8')).toBe('cdab');
  expect(files.closeFile(fd)).toBe(0);
  expect(files.pread(fd, memory.address, 1, 0)).toBe(-Errno.EBADF);
  memory.unmap();
});

test('a mapped file and an address of a typed array', () => {
  const path = join(directory, 'mapped');
  const fd = files.openFile(path, files.OpenFlag.RDWR | files.OpenFlag.CREAT);
  files.ftruncate(fd, 8192);
  const mapping = mapFile(fd, 8192);
  files.closeFile(fd);
  const source = new Uint8Array([1, 2, 3]);
  copyMemory(mapping.address + 4096, addressOf(source), 3);
  expect([...readFileSync(path).subarray(4096, 4099)]).toEqual([1, 2, 3]);
  new Float64Array(mapping.buffer)[0] = 1.5;
  expect(readFileSync(path).readDoubleLE(0)).toBe(1.5);
  mapping.unmap();
});

test('epoll reports the descriptor and the bits, an eventfd wakes it', () => {
  const epoll = new Epoll(8);
  const wake = createEventFd();
  expect(epoll.add(wake, EpollEvent.IN)).toBe(0);
  expect(epoll.wait(0)).toBe(0);
  signalEventFd(wake);
  signalEventFd(wake);
  expect(epoll.wait(1000)).toBe(1);
  expect(epoll.eventFd(0)).toBe(wake);
  expect(epoll.eventBits(0)).toBe(EpollEvent.IN);
  expect(drainEventFd(wake)).toBe(true);
  expect(drainEventFd(wake)).toBe(false);
  expect(epoll.remove(wake)).toBe(0);
  epoll.close();
  closeSync(wake);
});

test.each(['127.0.0.1', '::1'])('tcp over %s', (host) => {
  const listener = sockets.listenTcp({ host, port: 0 });
  const port = sockets.localAddress(listener)?.port ?? 0;
  expect(port).toBeGreaterThan(0);
  expect(sockets.accept(listener)).toBe(-Errno.EAGAIN);
  const client = sockets.connectTcp({ host, port });
  const epoll = new Epoll(8);
  epoll.add(listener, EpollEvent.IN);
  expect(epoll.wait(5000)).toBe(1);
  const server = sockets.accept(listener);
  expect(server).toBeGreaterThan(0);
  expect(sockets.socketError(client)).toBe(0);
  expect(sockets.setNoDelay(client)).toBe(0);
  expect(sockets.peerAddress(client)?.port).toBe(port);
  const memory = allocateMemory(4096);
  const bytes = new Uint8Array(memory.buffer);
  bytes.set(Buffer.from('hello world'));
  const vector = new IoVector(2);
  vector.set(0, memory.address, 6);
  vector.set(1, memory.address + 6, 5);
  expect(sockets.receive(server, memory.address + 100, 50)).toBe(-Errno.EAGAIN);
  expect(sockets.sendVector(client, vector.address, 2)).toBe(11);
  expect(sockets.receive(server, memory.address + 100, 50)).toBe(11);
  expect(Buffer.from(bytes.subarray(100, 111)).toString()).toBe('hello world');
  files.closeFile(client);
  expect(sockets.receive(server, memory.address, 50)).toBe(0);
  for (const fd of [server, listener]) files.closeFile(fd);
  epoll.close();
});

test('a refused connection and a unix socket', () => {
  const path = join(directory, 'socket');
  expect(() => sockets.connectUnix(path)).toThrow('ENOENT');
  const listener = sockets.listenUnix(path);
  const client = sockets.connectUnix(path);
  const server = sockets.accept(listener);
  expect(server).toBeGreaterThan(0);
  for (const fd of [client, server, listener]) files.closeFile(fd);
  expect(() => sockets.connectUnix(path)).toThrow('ECONNREFUSED');
});

test('a descriptor that Node opened can be used', () => {
  const fd = openSync('/dev/zero', 'r');
  const memory = allocateMemory(4096);
  const bytes = new Uint8Array(memory.buffer).fill(1);
  expect(files.read(fd, memory.address, 4096)).toBe(4096);
  expect(bytes[4095]).toBe(0);
  closeSync(fd);
});
