import { PxError } from '../../../kernel/errors.js';
import { monotonicMs } from '../../../platform/monotonic.js';
import { closeFile } from '../../sys/files.js';
import { Errno, errnoName } from '../../sys/libc.js';
import { allocateMemory, type NativeMemory } from '../../sys/memory.js';
import { whenReadable } from '../../sys/readiness.js';
import { connectUnix, receive, send } from '../../sys/sockets.js';
import { HandshakeFlag, Info, Magic, Option, OptionReply } from './nbd-wire.js';

/** A connection on which the next byte is the first request's. */
export interface NbdClientConnection {
  /** The caller's to close. */
  readonly fd: number;
  readonly sizeBytes: number;
  /** Bits of `TransmissionFlag`. */
  readonly flags: number;
}

/** More than any answer of ours to the options that are sent here. */
const memoryBytes = 4096;

/**
 * Connects to an NBD server on a unix socket and chooses the export, so that
 * the kernel's driver can be handed the socket: it knows requests and simple
 * replies only, and leaves the conversation before them to its user.
 */
export async function connectNbd(
  socketPath: string,
  exportName: string,
  timeoutMs: number,
): Promise<NbdClientConnection> {
  const fd = connectUnix(socketPath);
  const memory = allocateMemory(memoryBytes);
  try {
    const peer = new Peer(fd, memory, socketPath, monotonicMs() + timeoutMs);
    return { fd, ...(await negotiate(peer, exportName)) };
  } catch (error) {
    closeFile(fd);
    throw error;
  } finally {
    memory.unmap();
  }
}

async function negotiate(
  peer: Peer,
  exportName: string,
): Promise<{ sizeBytes: number; flags: number }> {
  const greeting = await peer.take(18);
  const fixed = (greeting.readUInt16BE(16) & HandshakeFlag.FIXED_NEWSTYLE) !== 0;
  const known =
    greeting.readBigUInt64BE(0) === Magic.initial && greeting.readBigUInt64BE(8) === Magic.option;
  if (!known || !fixed) throw peer.fault('does not speak the fixed newstyle protocol');
  peer.give(goRequest(greeting.readUInt16BE(16) & HandshakeFlag.NO_ZEROES, exportName));
  let answer: { sizeBytes: number; flags: number } | undefined;
  for (;;) {
    const header = await peer.take(20);
    const type = header.readUInt32BE(12);
    const length = header.readUInt32BE(16);
    if (header.readBigUInt64BE(0) !== Magic.optionReply || length > memoryBytes) {
      throw peer.fault('answers something that is no option reply');
    }
    const data = await peer.take(length);
    if (type === OptionReply.INFO && data.length === 12 && data.readUInt16BE(0) === Info.EXPORT) {
      answer = { sizeBytes: Number(data.readBigUInt64BE(2)), flags: data.readUInt16BE(10) };
    } else if (type === OptionReply.ACK) {
      if (answer === undefined) throw peer.fault('does not tell the size of the export');
      return answer;
    } else if (type !== OptionReply.INFO) {
      throw peer.fault(`refuses the export "${exportName}" (0x${type.toString(16)})`);
    }
  }
}

/** The client's flags, then NBD_OPT_GO without a wish for more information. */
function goRequest(noZeroes: number, exportName: string): Buffer {
  const name = Buffer.from(exportName);
  const request = Buffer.alloc(4 + 16 + 4 + name.length + 2);
  request.writeUInt32BE(HandshakeFlag.FIXED_NEWSTYLE | noZeroes, 0);
  request.writeBigUInt64BE(Magic.option, 4);
  request.writeUInt32BE(Option.GO, 12);
  request.writeUInt32BE(4 + name.length + 2, 16);
  request.writeUInt32BE(name.length, 20);
  name.copy(request, 24);
  return request;
}

class Peer {
  constructor(
    private readonly fd: number,
    private readonly memory: NativeMemory,
    private readonly socketPath: string,
    private readonly deadlineMs: number,
  ) {}

  /** Exactly so many bytes and none more: what follows is the kernel's. */
  async take(length: number): Promise<Buffer> {
    const { fd, memory } = this;
    let have = 0;
    while (have < length) {
      const got = receive(fd, memory.address + have, length - have);
      if (got > 0) have += got;
      else if (got === 0) throw this.fault('closed the connection');
      else if (got !== -Errno.EAGAIN) throw this.fault(`failed: ${errnoName(got)}`);
      else if (!(await whenReadable(fd, Math.max(0, this.deadlineMs - monotonicMs())))) {
        throw new PxError('deadline_exceeded', `the NBD server on ${this.socketPath} is silent`);
      }
    }
    return Buffer.from(new Uint8Array(memory.buffer, 0, length));
  }

  /** It is little, and the first that is sent: a new socket has room for it. */
  give(data: Buffer): void {
    new Uint8Array(this.memory.buffer).set(data);
    if (send(this.fd, this.memory.address, data.length) !== data.length) {
      throw this.fault('takes no request');
    }
  }

  fault(what: string): PxError {
    return new PxError('unavailable', `the NBD server on ${this.socketPath} ${what}`);
  }
}
