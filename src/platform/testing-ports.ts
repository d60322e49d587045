import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';

const firstPort = 10_000;
/** What px-node takes from its `startPort` on, and the port that reserves the block. */
const blockPorts = 32;

/**
 * The first of 31 ports of 127.0.0.1 in a row that nothing listens on and that
 * no other test takes, however many run at once: the 32nd is listened on until
 * this process ends. They lie below those that the kernel gives to outgoing
 * connections, which would be in the way of a server that is started again.
 */
export async function reservePorts(): Promise<number> {
  const blocks = Math.floor((firstEphemeralPort() - firstPort) / blockPorts);
  const begin = randomInt(blocks);
  for (let count = 0; count < blocks; count += 1) {
    const port = firstPort + ((begin + count) % blocks) * blockPorts;
    const guard = await listen(port + blockPorts - 1);
    if (guard === undefined) continue;
    if (await areFree(port, blockPorts - 1)) {
      guard.unref();
      return port;
    }
    guard.close();
  }
  throw new Error('no block of ports is free');
}

let block: Promise<{ next: number; readonly end: number }> | undefined;

/** One port of a block that is reserved for this process. */
export async function freePort(): Promise<number> {
  const reserved = await (block ??= reserve());
  if (reserved.next === reserved.end) {
    block = undefined;
    return freePort();
  }
  return reserved.next++;
}

async function reserve(): Promise<{ next: number; end: number }> {
  const next = await reservePorts();
  return { next, end: next + blockPorts - 1 };
}

function firstEphemeralPort(): number {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const first = Number(range.split(/\s/)[0]);
  // A machine that gives out nearly all ports has none that are safe from that.
  return first > 2 * firstPort ? first : 32_768;
}

async function areFree(first: number, count: number): Promise<boolean> {
  for (let port = first; port < first + count; port += 1) {
    const server = await listen(port);
    if (server === undefined) return false;
    await new Promise((resolve) => server.close(resolve));
  }
  return true;
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
