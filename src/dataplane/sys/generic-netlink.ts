import { closeFile } from './files.js';
import { Errno, libc, must, outcome, SystemCallError } from './libc.js';
import { allocateMemory } from './memory.js';
import { receive } from './sockets.js';

/**
 * Generic netlink: how some kernel modules are told what to do. Sources:
 * linux/netlink.h, linux/genetlink.h. Numbers are in the machine's byte order,
 * which is little-endian wherever Node runs.
 */
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_GENERIC = 16;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLMSG_ERROR = 2;
const NLA_TYPE_MASK = 0x3fff;
const NLA_F_NESTED = 0x8000;
const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;

const headerBytes = 16 + 4;
/** Far more than any message here; the kernel answers with at most one page. */
const memoryBytes = 8192;

const socketCall = libc.func('socket', 'int', ['int', 'int', 'int']) as (
  family: number,
  type: number,
  protocol: number,
) => number;
const sendFunction = libc.func('send', 'intptr_t', ['int', 'uintptr_t', 'size_t', 'int']);

export interface NetlinkCommand {
  /** From `findNetlinkFamily`. */
  readonly family: number;
  readonly command: number;
  readonly attributes: Buffer;
}

/** The number that the kernel gave the family, or undefined where nobody registered it. */
export async function findNetlinkFamily(name: string): Promise<number | undefined> {
  try {
    const [answer] = await netlinkRequest(`looking up "${name}"`, {
      family: GENL_ID_CTRL,
      command: CTRL_CMD_GETFAMILY,
      attributes: attribute(CTRL_ATTR_FAMILY_NAME, Buffer.from(`${name}\0`)),
    });
    return answer?.get(CTRL_ATTR_FAMILY_ID)?.readUInt16LE();
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === Errno.ENOENT) return undefined;
    throw error;
  }
}

/**
 * Sends one command and answers with the attributes of each message that came
 * back. The kernel does the work within the call of send, which may take long;
 * so it happens on a thread of the pool, and everything is there to be read
 * when it returns.
 */
export async function netlinkRequest(
  what: string,
  request: NetlinkCommand,
): Promise<Map<number, Buffer>[]> {
  const fd = must(outcome(socketCall(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_GENERIC)), what);
  const memory = allocateMemory(memoryBytes);
  try {
    const message = encodeMessage(request);
    new Uint8Array(memory.buffer).set(message);
    const sent = await sendOnPool(fd, memory.address, message.length);
    if (sent !== message.length) throw new Error(`${what}: the kernel took no netlink message`);
    return readAnswers(what, fd, memory);
  } finally {
    closeFile(fd);
    memory.unmap();
  }
}

function sendOnPool(fd: number, address: number, length: number): Promise<number> {
  return new Promise((resolve, reject) => {
    sendFunction.async(fd, address, length, 0, (error: unknown, sent: unknown) => {
      if (error === null || error === undefined) resolve(Number(sent));
      else reject(error instanceof Error ? error : new Error('send did not run'));
    });
  });
}

function readAnswers(
  what: string,
  fd: number,
  memory: { readonly address: number; readonly buffer: ArrayBuffer },
): Map<number, Buffer>[] {
  const answers: Map<number, Buffer>[] = [];
  for (;;) {
    const length = must(receive(fd, memory.address, memoryBytes), what);
    // A copy: the memory goes away before the answer does.
    const datagram = Buffer.from(new Uint8Array(memory.buffer, 0, length));
    for (let at = 0; at + 16 <= length;) {
      const messageLength = datagram.readUInt32LE(at);
      if (messageLength < headerBytes || at + messageLength > length) {
        throw new Error(`${what}: a netlink message of ${messageLength} bytes`);
      }
      if (datagram.readUInt16LE(at + 4) === NLMSG_ERROR) {
        // 0 is the acknowledgement, which comes last.
        must(datagram.readInt32LE(at + 16), what);
        return answers;
      }
      answers.push(parseAttributes(datagram.subarray(at + headerBytes, at + messageLength)));
      at += align(messageLength);
    }
  }
}

function encodeMessage({ family, command, attributes }: NetlinkCommand): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32LE(headerBytes + attributes.length, 0);
  header.writeUInt16LE(family, 4);
  header.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK, 6);
  // One socket asks one thing, so the sequence number tells nothing.
  header.writeUInt32LE(1, 8);
  header.writeUInt8(command, 16);
  header.writeUInt8(1, 17);
  return Buffer.concat([header, attributes]);
}

export function attribute(type: number, value: Buffer): Buffer {
  const encoded = Buffer.alloc(align(4 + value.length));
  encoded.writeUInt16LE(4 + value.length, 0);
  encoded.writeUInt16LE(type, 2);
  value.copy(encoded, 4);
  return encoded;
}

export function nestedAttribute(type: number, inner: Buffer): Buffer {
  return attribute(type | NLA_F_NESTED, inner);
}

export function uint32Attribute(type: number, value: number): Buffer {
  const encoded = Buffer.alloc(4);
  encoded.writeUInt32LE(value);
  return attribute(type, encoded);
}

export function uint64Attribute(type: number, value: number): Buffer {
  const encoded = Buffer.alloc(8);
  encoded.writeBigUInt64LE(BigInt(value));
  return attribute(type, encoded);
}

export function parseAttributes(data: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= data.length;) {
    const length = data.readUInt16LE(at);
    if (length < 4 || at + length > data.length) {
      throw new Error(`a netlink attribute of ${length} bytes`);
    }
    found.set(data.readUInt16LE(at + 2) & NLA_TYPE_MASK, data.subarray(at + 4, at + length));
    at += align(length);
  }
  return found;
}

function align(length: number): number {
  return (length + 3) & ~3;
}
