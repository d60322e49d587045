import { connect, createServer } from 'node:net';
import { freePort, reservePorts } from './testing-ports.js';

test('no two callers get the same ports, and each can be listened on', async () => {
  const blocks = await Promise.all(Array.from({ length: 20 }, reservePorts));
  const sorted = [...blocks].sort((a, b) => a - b);
  sorted.slice(1).forEach((port, index) => {
    expect(port - (sorted[index] ?? 0)).toBeGreaterThanOrEqual(32);
  });
  const ports = await Promise.all(Array.from({ length: 40 }, freePort));
  expect(new Set(ports).size).toBe(40);
  for (const port of ports) {
    const server = createServer().listen(port, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    server.close();
  }
});

test('a block stays reserved: its last port is listened on', async () => {
  const last = (await reservePorts()) + 31;
  const socket = connect(last, '127.0.0.1');
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.destroy();
});
