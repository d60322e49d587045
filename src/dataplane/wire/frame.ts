import { assert } from '../../kernel/assert.js';
import { maxIoBytes } from '../protocol/ops.js';
import { headerChecksum } from './checksum.js';

/**
 * The framing of the replication protocol: a fixed header, then the payload.
 *
 * All numbers are little-endian, as on every machine that Node 20 supports. A
 * payload is padded to 8 bytes, so that headers are always aligned in a
 * receive buffer and can be read as words with no copy. Offsets and sequence
 * numbers are 64 bits wide on the wire and refused above 2^53 - 1.
 *
 *   word 0       magic
 *   word 1       version (16 bits), type (8), flags (8)
 *   word 2       tag: the asker's slot, or a control message's number
 *   word 3       status: 0 or a positive errno
 *   words 4-5    offset          words 6-7    length
 *   words 8-9    seq             words 10-11  completedSeq
 *   word 12      payload bytes   word 13      CRC-32 of the payload
 *   word 14      number of the frame in its direction of the connection
 *   word 15      CRC-32C of words 0-14
 */
export const headerBytes = 64;
export const headerWords = 16;
export const wireVersion = 1;
const magic = 0x50445850; // "PXDP"

export const FrameType = {
  hello: 1,
  helloReply: 2,
  read: 3,
  write: 4,
  zero: 5,
  flush: 6,
  reply: 7,
  control: 8,
  controlReply: 9,
} as const;

/** Marks of a volume of 64 TiB take 2 MiB; the rest of such a body is small. */
export const maxBodyBytes = 4 * 1024 * 1024;
/** A stranger can make us hold no more than this before it is known. */
export const maxHelloBytes = 4096;

const maxPayloadOf: readonly number[] = [
  -1,
  maxHelloBytes,
  maxBodyBytes,
  0,
  maxIoBytes,
  0,
  0,
  maxIoBytes,
  maxBodyBytes,
  maxBodyBytes,
];

/** One frame's header; a mutable object that its owner uses again and again. */
export class FrameHeader {
  type = 0;
  flags = 0;
  tag = 0;
  status = 0;
  offset = 0;
  length = 0;
  seq = 0;
  completedSeq = 0;
  payloadBytes = 0;
  payloadCrc = 0;

  clear(type: number, tag: number): this {
    this.type = type;
    this.flags = 0;
    this.tag = tag;
    this.status = 0;
    this.offset = 0;
    this.length = 0;
    this.seq = 0;
    this.completedSeq = 0;
    this.payloadBytes = 0;
    this.payloadCrc = 0;
    return this;
  }
}

/** Why a header was refused; the connection ends with it. */
export type FrameError =
  | 'bad magic'
  | 'bad header checksum'
  | 'unknown version'
  | 'unknown type'
  | 'bad number'
  | 'bad length'
  | 'bad frame number';

const twoTo32 = 4294967296;
const maxHigh = 0x1fffff;

/** Encodes and decodes headers of one connection. Nothing is allocated a frame. */
export class HeaderCodec {
  private readonly words = new Int32Array(headerWords);
  private readonly summed = new Uint8Array(this.words.buffer, 0, headerBytes - 4);
  private sent = 0;
  private received = 0;

  /** A new connection counts its frames from 0; one whose HELLO was read elsewhere from 1. */
  reset(receivedFrames = 0): void {
    this.sent = 0;
    this.received = receivedFrames;
  }

  encode(header: FrameHeader, target: Int32Array, at: number): void {
    const words = this.words;
    words[0] = magic;
    words[1] = wireVersion | (header.type << 16) | (header.flags << 24);
    words[2] = header.tag;
    words[3] = header.status;
    this.put(4, header.offset);
    this.put(6, header.length);
    this.put(8, header.seq);
    this.put(10, header.completedSeq);
    words[12] = header.payloadBytes;
    words[13] = header.payloadCrc;
    words[14] = this.sent;
    this.sent = (this.sent + 1) | 0;
    words[15] = headerChecksum(this.summed);
    for (let word = 0; word < headerWords; word++) target[at + word] = words[word];
  }

  /** Reads the header at word `at`; the numbers in `into` are believed only when `null` is returned. */
  decode(source: Int32Array, at: number, into: FrameHeader): FrameError | null {
    const words = this.words;
    for (let word = 0; word < headerWords; word++) words[word] = source[at + word];
    if (words[0] !== magic) return 'bad magic';
    if (words[15] !== (headerChecksum(this.summed) | 0)) return 'bad header checksum';
    const kind = words[1];
    if ((kind & 0xffff) !== wireVersion) return 'unknown version';
    if (words[14] !== this.received) return 'bad frame number';
    this.received = (this.received + 1) | 0;
    into.type = (kind >>> 16) & 0xff;
    into.flags = kind >>> 24;
    into.tag = words[2] >>> 0;
    into.status = words[3] >>> 0;
    into.offset = this.get(4);
    into.length = this.get(6);
    into.seq = this.get(8);
    into.completedSeq = this.get(10);
    into.payloadBytes = words[12] >>> 0;
    into.payloadCrc = words[13] >>> 0;
    return checkNumbers(into);
  }

  /** The header last decoded will be decoded again. */
  unread(): void {
    this.received = (this.received - 1) | 0;
  }

  private put(word: number, value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a number of a frame is not a safe integer');
    this.words[word] = (value % twoTo32) | 0;
    this.words[word + 1] = Math.floor(value / twoTo32);
  }

  /** NaN when the number is larger than JavaScript counts exactly. */
  private get(word: number): number {
    const high = this.words[word + 1] >>> 0;
    if (high > maxHigh) return NaN;
    return high * twoTo32 + (this.words[word] >>> 0);
  }
}

function checkNumbers(header: FrameHeader): FrameError | null {
  const limit = maxPayloadOf[header.type];
  if (limit === undefined || limit < 0) return 'unknown type';
  const sum = header.offset + header.length + header.seq + header.completedSeq;
  // One NaN makes the sum NaN; the end of a range must be a safe integer as well.
  if (Number.isNaN(sum) || !Number.isSafeInteger(header.offset + header.length))
    return 'bad number';
  if (header.payloadBytes > limit || header.payloadBytes % 8 !== 0) return 'bad length';
  switch (header.type) {
    case FrameType.write:
      return header.payloadBytes === header.length ? null : 'bad length';
    case FrameType.read:
      return header.length <= maxIoBytes ? null : 'bad length';
    default:
      return null;
  }
}
