import fc from 'fast-check';
import type { ControlMessage, Hello, HelloReply } from '../protocol/messages.js';
import { maxIoBytes } from '../protocol/ops.js';
import {
  decodeControl,
  decodeControlReply,
  decodeHello,
  decodeHelloReply,
  encodeControl,
  encodeControlReply,
  encodeHello,
  encodeHelloReply,
} from './bodies.js';
import { payloadChecksum } from './checksum.js';
import { FrameReader, SlotAnswer, type FrameSink } from './frame-reader.js';
import { FrameHeader, FrameType, headerBytes, HeaderCodec } from './frame.js';

interface Frame {
  type: number;
  tag: number;
  status: number;
  offset: number;
  seq: number;
  payload: Uint8Array;
}

function encodeStream(frames: readonly Frame[]): Uint8Array {
  const codec = new HeaderCodec();
  const header = new FrameHeader();
  const parts: Uint8Array[] = [];
  for (const frame of frames) {
    header.clear(frame.type, frame.tag);
    header.status = frame.status;
    header.offset = frame.offset;
    header.length = frame.payload.length;
    header.seq = frame.seq;
    header.completedSeq = Math.max(0, frame.seq - 1);
    header.payloadBytes = frame.payload.length;
    header.payloadCrc = frame.payload.length === 0 ? 0 : payloadChecksum(frame.payload);
    const words = new Int32Array(headerBytes / 4);
    codec.encode(header, words, 0);
    parts.push(new Uint8Array(words.buffer), frame.payload);
  }
  return Buffer.concat(parts);
}

/** Takes data frames into slots, with none free at every third question. */
class Recorder implements FrameSink {
  readonly frames: Frame[] = [];
  private readonly memory = new Uint8Array(maxIoBytes);
  private asked = 0;

  slotFor(header: FrameHeader): number {
    if (header.type >= FrameType.control || header.type <= FrameType.helloReply) {
      return SlotAnswer.body;
    }
    return ++this.asked % 3 === 0 ? SlotAnswer.wait : 7;
  }
  payload(_slot: number, bytes: number): Uint8Array {
    return this.memory.subarray(0, bytes);
  }
  onFrame(header: FrameHeader, slot: number, body: Uint8Array): string {
    const { type, tag, status, offset, seq, payloadBytes } = header;
    const payload = slot >= 0 ? this.memory.slice(0, payloadBytes) : body;
    this.frames.push({ type, tag, status, offset, seq, payload });
    return '';
  }

  /** Gives the stream to a reader in pieces, as a socket would. */
  read(stream: Uint8Array, pieces: readonly number[]): string {
    const buffer = new Uint8Array(128 * 1024);
    const reader = new FrameReader(buffer, this);
    let at = 0;
    for (let piece = 0; at < stream.length; piece++) {
      for (let patience = 0; reader.waiting && patience < 5; patience++) {
        const problem = reader.resume();
        if (problem !== '') return problem;
      }
      const wanted = pieces[piece % pieces.length];
      const bytes = Math.min(wanted, reader.roomBytes, stream.length - at);
      const target = reader.directSlot >= 0 ? this.memory : buffer;
      target.set(stream.subarray(at, at + bytes), reader.roomAt);
      at += bytes;
      const problem = reader.received(bytes);
      if (problem !== '') return problem;
    }
    while (reader.waiting) {
      const problem = reader.resume();
      if (problem !== '') return problem;
    }
    return '';
  }
}

const dataTypes = [FrameType.write, FrameType.reply, FrameType.control] as const;
const frame: fc.Arbitrary<Frame> = fc.record({
  type: fc.constantFrom(...dataTypes),
  tag: fc.integer({ min: 0, max: 0xffffffff }),
  status: fc.integer({ min: 0, max: 133 }),
  offset: fc.integer({ min: 0, max: 2 ** 52 }),
  seq: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  payload: fc
    .tuple(fc.constantFrom(0, 8, 512, 4096, 32768, 65536, maxIoBytes), fc.integer())
    .map(([bytes, seed]) => Uint8Array.from({ length: bytes }, (_, at) => (at * 31 + seed) & 255)),
});

describe('FrameReader', () => {
  it('gives the frames back however the stream is torn', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { minLength: 1, maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 20 }),
        (frames, pieces) => {
          const recorder = new Recorder();
          expect(recorder.read(encodeStream(frames), pieces)).toBe('');
          expect(recorder.frames.length).toBe(frames.length);
          for (let index = 0; index < frames.length; index++) {
            const got = recorder.frames[index];
            const sent = frames[index];
            expect({ ...got, payload: 0 }).toEqual({ ...sent, payload: 0 });
            expect(Buffer.compare(got.payload, sent.payload)).toBe(0);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('gives frames back from a stream that comes byte by byte', () => {
    const frames = [1, 2, 3].map((tag) => ({
      type: FrameType.write,
      tag,
      status: 0,
      offset: tag * 4096,
      seq: tag,
      payload: new Uint8Array(512).fill(tag),
    }));
    const recorder = new Recorder();
    expect(recorder.read(encodeStream(frames), [1])).toBe('');
    expect(recorder.frames).toEqual(frames);
  });

  it('detects a change of any byte', () => {
    const frames = [1, 2].map((tag) => ({
      type: FrameType.write,
      tag,
      status: 0,
      offset: 4096,
      seq: tag,
      payload: new Uint8Array(64).fill(tag),
    }));
    const stream = encodeStream(frames);
    for (let at = 0; at < stream.length; at++) {
      for (const flip of [1, 0x80, 0xff]) {
        const changed = Uint8Array.from(stream);
        changed[at] = changed[at] ^ flip;
        expect(new Recorder().read(changed, [4096])).not.toBe('');
      }
    }
  });

  it('detects a frame that was lost, repeated or swapped', () => {
    const frames = [1, 2, 3].map((tag) => ({
      type: FrameType.write,
      tag,
      status: 0,
      offset: 0,
      seq: tag,
      payload: new Uint8Array(8),
    }));
    const stream = encodeStream(frames);
    const one = stream.length / 3;
    const part = (index: number) => stream.subarray(index * one, (index + 1) * one);
    for (const order of [[0, 2], [0, 0], [1], [0, 2, 1]]) {
      const changed = Buffer.concat(order.map(part));
      expect(new Recorder().read(changed, [1000])).toBe('bad frame number');
    }
  });

  it('ends a connection before it believes a length', () => {
    const codec = new HeaderCodec();
    const refusals: [Partial<FrameHeader>, string][] = [
      [{ type: FrameType.write, length: 2 ** 31, payloadBytes: 2 ** 31 }, 'bad length'],
      [{ type: FrameType.write, length: 4096, payloadBytes: 8192 }, 'bad length'],
      [{ type: FrameType.write, length: 4, payloadBytes: 4 }, 'bad length'],
      [{ type: FrameType.hello, payloadBytes: 8192 }, 'bad length'],
      [{ type: FrameType.flush, payloadBytes: 8 }, 'bad length'],
      [{ type: FrameType.read, length: 2 * maxIoBytes }, 'bad length'],
      [{ type: 0 }, 'unknown type'],
      [{ type: 10 }, 'unknown type'],
      [{ type: FrameType.zero, offset: 2 ** 53 - 1, length: 4096 }, 'bad number'],
    ];
    for (const [fields, problem] of refusals) {
      const header = Object.assign(new FrameHeader().clear(1, 0), fields);
      const words = new Int32Array(headerBytes / 4);
      codec.reset();
      codec.encode(header, words, 0);
      expect(new Recorder().read(new Uint8Array(words.buffer), [64])).toBe(problem);
    }
  });

  it('ends on garbage without an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 500 }), (bytes) => {
        expect(new Recorder().read(bytes, [37])).not.toBe('');
      }),
    );
  });
});

describe('bodies', () => {
  const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  const hello: fc.Arbitrary<Hello> = fc.record({
    clusterId: fc.string(),
    volumeId: fc.string(),
    replicaId: fc.string(),
    epoch: count,
    token: fc.string(),
    leaseMs: count,
    previousOwnerDead: fc.boolean(),
  });
  const reply: fc.Arbitrary<HelloReply> = fc.oneof(
    fc.record({
      ok: fc.constant(true as const),
      lossy: fc.boolean(),
      blank: fc.boolean(),
      ringIntact: fc.boolean(),
      ring: fc.array(count),
      marks: fc.uint8Array({ maxLength: 100 }),
      leaseRemainingMs: count,
      sizeBytes: count,
    }),
    fc.record({
      ok: fc.constant(false as const),
      code: fc.constantFrom('fenced' as const, 'wrong_cluster' as const, 'store_failed' as const),
      message: fc.string(),
      epoch: count,
    }),
  );
  const control: fc.Arbitrary<ControlMessage> = fc.oneof(
    fc.record({ type: fc.constant('heartbeat' as const), completedSeq: count }),
    fc.record({ type: fc.constant('hash' as const), offset: count, length: count }),
    fc.record({ type: fc.constant('clear_marks' as const), chunks: fc.uint8Array() }),
    fc.record({ type: fc.constant('admit' as const), marks: fc.uint8Array() }),
    fc.record({ type: fc.constant('bye' as const) }),
    fc.record({ type: fc.constant('resize' as const), sizeBytes: count }),
    fc.record({
      type: fc.constant('copy_to' as const),
      targetVolumeId: fc.string(),
      targetReplicaId: fc.string(),
    }),
    fc.record({ type: fc.constant('copy_from' as const), sourceVolumeId: fc.string() }),
  );

  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(hello, (value) => expect(decodeHello(encodeHello(value))).toEqual(value)),
    );
    fc.assert(
      fc.property(reply, fc.string(), (value, nodeId) => {
        const sent = { clusterId: 'c', nodeId, reply: value };
        expect(decodeHelloReply(encodeHelloReply(sent))).toEqual(sent);
      }),
    );
    fc.assert(
      fc.property(control, (value) => expect(decodeControl(encodeControl(value))).toEqual(value)),
    );
    fc.assert(
      fc.property(count, fc.option(fc.uint8Array()), (status, digests) => {
        const sent = digests === null ? { status } : { status, digests };
        expect(decodeControlReply(encodeControlReply(sent))).toEqual(sent);
      }),
    );
  });

  it('answer null to anything else', () => {
    fc.assert(
      fc.property(hello, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, flip) => {
        const bytes = encodeHello(value);
        const where = at % 8;
        bytes[where] = bytes[where] ^ flip;
        expect(decodeHello(bytes)).toBeNull();
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(decodeHello(bytes)).toBeNull();
        expect(decodeHelloReply(bytes)).toBeNull();
        expect(decodeControl(bytes)).toBeNull();
        expect(decodeControlReply(bytes)).toBeNull();
      }),
    );
  });
});
