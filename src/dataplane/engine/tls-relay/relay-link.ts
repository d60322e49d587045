import { assert } from '../../../kernel/assert.js';
import { closeFile } from '../../sys/files.js';
import { allocateMemory } from '../../sys/memory.js';
import { connectUnix, send, type SocketAddress } from '../../sys/sockets.js';
import { encodePreface, maxPrefaceBytes } from './preface.js';

const buffer = allocateMemory(maxPrefaceBytes);
const bytes = new Uint8Array(buffer.buffer);

/**
 * Begins a link's connection to another node through the relay. The preface
 * goes out at once: a unix socket is connected when `connect` returns, and an
 * empty one takes a line whole.
 */
export function connectThroughRelay(
  relayPath: string,
  nodeId: string,
  address: SocketAddress,
): number {
  const preface = encodePreface({ nodeId, address });
  assert(preface.length <= maxPrefaceBytes, 'a preface is longer than the relay reads');
  const fd = connectUnix(relayPath);
  bytes.set(preface);
  if (send(fd, buffer.address, preface.length) === preface.length) return fd;
  closeFile(fd);
  throw new Error('the TLS relay takes no connection');
}
