import { assert } from '../../kernel/assert.js';
import { payloadChecksum } from './checksum.js';
import { FrameHeader, headerBytes, HeaderCodec } from './frame.js';

/** Answers of `FrameSink.slotFor` that are no slot. */
export const SlotAnswer = {
  /** None is free: the reader stops here until `resume`. */
  wait: -1,
  /** A rare message: the reader keeps its body itself. */
  body: -2,
  /** The frame has no business here; the connection ends. */
  refuse: -3,
} as const;

export interface FrameSink {
  /** The slot that this frame (and its payload) goes to, or a `SlotAnswer`. */
  slotFor(header: FrameHeader): number;
  /** The first `bytes` bytes of the slot's payload. */
  payload(slot: number, bytes: number): Uint8Array;
  /** A frame is whole and its payload's checksum is right. Answers '' or why the connection must end. */
  onFrame(header: FrameHeader, slot: number, body: Uint8Array): string;
}

/** Payloads up to this size are gathered in the receive buffer, larger ones go straight to their slot. */
const gatheredBytes = 32 * 1024;
const noBody = new Uint8Array(0);

/**
 * Cuts a byte stream into frames. The owner asks where the next bytes are to
 * go (`directSlot`, `roomAt`, `roomBytes`), puts them there and says how many
 * came (`received`).
 *
 * Headers stay aligned to 8 bytes in the buffer, because a payload is taken
 * from it either whole, or up to the buffer's end with the rest received
 * elsewhere.
 */
export class FrameReader {
  private readonly words: Int32Array;
  private readonly codec = new HeaderCodec();
  private readonly header = new FrameHeader();
  private start = 0;
  private end = 0;
  private state: 'header' | 'slot' | 'payload' | 'failed' = 'header';
  private slot = 0;
  private body = noBody;
  private payloadGot = 0;

  constructor(
    private readonly buffer: Uint8Array,
    private readonly sink: FrameSink,
  ) {
    assert(buffer.length >= 2 * gatheredBytes && buffer.length % 8 === 0, 'receive buffer size');
    assert(buffer.byteOffset % 8 === 0, 'receive buffer alignment');
    this.words = new Int32Array(buffer.buffer, buffer.byteOffset, buffer.length / 4);
  }

  reset(receivedFrames = 0): void {
    this.codec.reset(receivedFrames);
    this.start = 0;
    this.end = 0;
    this.state = 'header';
    this.body = noBody;
  }

  /** Nothing of a further frame has come. */
  get isEmpty(): boolean {
    return this.state === 'header' && this.start === this.end;
  }

  /** Nothing can be received until `resume` was called. */
  get waiting(): boolean {
    return this.state === 'slot';
  }

  /** The slot whose payload takes the next bytes, or -1 for the receive buffer. */
  get directSlot(): number {
    return this.state === 'payload' && this.slot >= 0 ? this.slot : -1;
  }
  get roomAt(): number {
    return this.directSlot >= 0 ? this.payloadGot : this.end;
  }
  get roomBytes(): number {
    if (this.state === 'slot' || this.state === 'failed') return 0;
    if (this.state === 'header') return this.buffer.length - this.end;
    const missing = this.header.payloadBytes - this.payloadGot;
    return this.slot >= 0 ? missing : Math.min(missing, this.buffer.length - this.end);
  }

  /** `bytes` have come to where `roomAt` said. Answers '' or why the connection must end. */
  received(bytes: number): string {
    assert(bytes > 0 && bytes <= this.roomBytes, 'more was received than there was room');
    if (this.directSlot < 0) {
      this.end += bytes;
      return this.parse();
    }
    this.payloadGot += bytes;
    if (this.payloadGot < this.header.payloadBytes) return '';
    const problem = this.deliver();
    return problem === '' ? '' : this.fail(problem);
  }

  /** A slot may be free again. */
  resume(): string {
    if (this.state !== 'slot') return '';
    return this.parse();
  }

  private parse(): string {
    for (;;) {
      const problem = this.step();
      if (problem === 'more') break;
      if (problem !== '') return this.fail(problem);
    }
    this.compact();
    return '';
  }

  /** Does one thing with what is buffered: '' when there may be more to do, 'more' when bytes lack. */
  private step(): string {
    const buffered = this.end - this.start;
    switch (this.state) {
      case 'header': {
        if (buffered < headerBytes) return 'more';
        const error = this.codec.decode(this.words, this.start / 4, this.header);
        if (error !== null) return error;
        this.start += headerBytes;
        this.state = 'slot';
        return '';
      }
      case 'slot': {
        const bytes = this.header.payloadBytes;
        // A small payload waits for its last byte here; only then a slot is taken.
        if (bytes <= gatheredBytes && this.end - this.start < bytes) return this.gather();
        const slot = this.sink.slotFor(this.header);
        if (slot === SlotAnswer.wait) return 'more';
        if (slot === SlotAnswer.refuse) return 'unexpected frame';
        this.slot = slot;
        this.body = slot >= 0 || bytes === 0 ? noBody : new Uint8Array(bytes);
        this.payloadGot = 0;
        this.state = 'payload';
        return '';
      }
      case 'payload':
        return this.takePayload(buffered);
      case 'failed':
        return 'unexpected frame';
    }
  }

  /** Back to before the header, which is read again when the rest has come. */
  private gather(): string {
    this.state = 'header';
    this.start -= headerBytes;
    this.codec.unread();
    return 'more';
  }

  private takePayload(buffered: number): string {
    const missing = this.header.payloadBytes - this.payloadGot;
    const taken = Math.min(missing, buffered);
    if (taken > 0) {
      const whole =
        this.slot >= 0 ? this.sink.payload(this.slot, this.header.payloadBytes) : this.body;
      whole.set(this.buffer.subarray(this.start, this.start + taken), this.payloadGot);
      this.start += taken;
      this.payloadGot += taken;
    }
    return taken < missing ? 'more' : this.deliver();
  }

  private deliver(): string {
    const header = this.header;
    if (header.payloadBytes > 0) {
      const whole = this.slot >= 0 ? this.sink.payload(this.slot, header.payloadBytes) : this.body;
      if (payloadChecksum(whole) !== header.payloadCrc) return 'bad payload checksum';
    }
    this.state = 'header';
    const body = this.body;
    this.body = noBody;
    return this.sink.onFrame(header, this.slot, body);
  }

  private compact(): void {
    if (this.start === this.end) {
      this.start = 0;
      this.end = 0;
    } else if (this.buffer.length - this.start < gatheredBytes + headerBytes) {
      this.buffer.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
  }

  private fail(problem: string): string {
    this.state = 'failed';
    return problem;
  }
}
