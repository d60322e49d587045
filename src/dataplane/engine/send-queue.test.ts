import fc from 'fast-check';
import { closeFile } from '../sys/files.js';
import { Errno } from '../sys/libc.js';
import { allocateMemory } from '../sys/memory.js';
import { receive, socketPair } from '../sys/sockets.js';
import { payloadChecksum } from '../wire/checksum.js';
import { FrameReader, SlotAnswer, type FrameSink } from '../wire/frame-reader.js';
import { FrameHeader, FrameType } from '../wire/frame.js';
import { SendQueue, untracked } from './send-queue.js';

/** Keeps the number and the content of each frame that came through. */
class Collector implements FrameSink {
  readonly tags: number[] = [];
  slotFor(): number {
    return SlotAnswer.body;
  }
  payload(): Uint8Array {
    throw new Error('every frame here has a body');
  }
  onFrame(header: FrameHeader, _slot: number, body: Uint8Array): string {
    this.tags.push(header.tag);
    return body.every((byte) => byte === (header.tag & 0xff)) ? '' : 'another payload';
  }
}

type Step =
  | { readonly type: 'header' }
  | { readonly type: 'payload' | 'body'; readonly bytes: number }
  | { readonly type: 'send' }
  | { readonly type: 'read'; readonly bytes: number };

const payloadMemory = allocateMemory(256 * 1024 * 256);
const receiveMemory = allocateMemory(128 * 1024);

/** Carries out the steps, then sends and reads whatever is left. */
function carry(steps: readonly Step[]): { sent: number[]; got: number[]; told: number[] } {
  const [near, far] = socketPair();
  const sent: number[] = [];
  const told: number[] = [];
  const queue = new SendQueue({ onPayloadSent: (slot) => void told.push(slot) });
  const collector = new Collector();
  const reader = new FrameReader(new Uint8Array(receiveMemory.buffer), collector);
  const header = new FrameHeader();
  const put = (step: Step): boolean => {
    const tag = sent.length;
    header.clear(FrameType.control, tag);
    if (step.type === 'header') return queue.putHeader(header);
    if (step.type !== 'payload' && step.type !== 'body') return true;
    header.payloadBytes = step.bytes;
    // Each frame has memory of its own, as each slot has: it must stay until it was sent.
    const at = (tag % 256) * 256 * 1024;
    const payload = new Uint8Array(payloadMemory.buffer, at, step.bytes).fill(tag & 0xff);
    header.payloadCrc = payloadChecksum(payload);
    if (step.type === 'body') return queue.putBody(header, payload.slice());
    const slot = tag % 2 === 0 ? tag : untracked;
    return queue.putPayload(header, payloadMemory.address + at, slot);
  };
  const send = (): void => {
    const result = queue.send(near);
    expect([0, -Errno.EAGAIN]).toContain(result);
  };
  const read = (most: number): boolean => {
    const room = Math.min(reader.roomBytes, most);
    const bytes = receive(far, receiveMemory.address + reader.roomAt, room);
    if (bytes <= 0) return false;
    expect(reader.received(bytes)).toBe('');
    return true;
  };
  for (const step of steps) {
    if (step.type === 'send') send();
    else if (step.type === 'read') read(step.bytes);
    else {
      expect(put(step)).toBe(true);
      sent.push(sent.length);
    }
  }
  while (!queue.isEmpty) {
    send();
    read(Infinity);
  }
  while (read(Infinity));
  closeFile(near);
  closeFile(far);
  return { sent, got: collector.tags, told };
}

describe('SendQueue', () => {
  const bytes = fc.constantFrom(8, 512, 4096, 16 * 1024, 16 * 1024 + 8, 128 * 1024);
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ type: fc.constant('header' as const) }),
    fc.record({ type: fc.constantFrom('payload' as const, 'body' as const), bytes }),
    fc.record({ type: fc.constant('send' as const) }),
    fc.record({ type: fc.constant('read' as const), bytes: fc.integer({ min: 1, max: 300_000 }) }),
  );

  it('sends every frame once and in order through a socket that takes little', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { sent, got, told } = carry(steps);
        expect(got).toEqual(sent);
        const tracked = new Set(told);
        expect(tracked.size).toBe(told.length);
      }),
      { numRuns: 100 },
    );
  });

  it('uses its ring again and again while some of it is never sent', () => {
    const steps: Step[] = [];
    // What the socket's own buffer does not take stays in the queue all the time.
    for (let index = 0; index < 28; index++) {
      steps.push({ type: 'body', bytes: 8192 }, { type: 'send' });
    }
    for (let round = 0; round < 100; round++) {
      steps.push({ type: 'body', bytes: 8192 }, { type: 'header' }, { type: 'send' });
      steps.push({ type: 'read', bytes: 8192 + 2 * 64 });
    }
    const { sent, got } = carry(steps);
    expect(got).toEqual(sent);
  });

  it('says when nothing more fits, before it loses anything', () => {
    const queue = new SendQueue({ onPayloadSent: () => undefined });
    const header = new FrameHeader().clear(FrameType.flush, 1);
    let frames = 0;
    while (queue.putHeader(header)) frames++;
    expect(frames).toBeGreaterThan(2000);
    expect(queue.putHeader(header)).toBe(false);
  });
});
