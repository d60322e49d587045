import { maxIoBytes, OpKind } from '../../protocol/ops.js';
import { EpollEvent } from '../../sys/epoll.js';
import { read, write } from '../../sys/files.js';
import { Errno, must } from '../../sys/libc.js';
import { allocateMemory } from '../../sys/memory.js';
import type { DescriptorHandler, Frontend, FrontendOptions } from '../../io/ports.js';
import type { IoLoop, TurnHandler, VolumeTarget } from '../../io/ports.js';
import { slotHeaderBytes } from '../../io/slot-table.js';
import type { NativeSlotTable } from '../../io/slot-table.js';
import * as wire from './fuse-wire.js';
import { Opcode, Word } from './fuse-wire.js';
import { tagSlot } from './unanswered.js';
import type { UnansweredRequests } from './unanswered.js';

/** One volume must not keep its neighbours on the same thread waiting for longer. */
const maxRequestsPerWake = 64;

/** Where in the header page a short answer is composed; the mount's token lies before it. */
const answerOffset = 64;

/** Room for a notification, which belongs to no slot. */
const notification = allocateMemory(64);
const notificationWords = new Uint32Array(notification.buffer, 0, 16);

export interface FuseFrontendParts {
  readonly loop: IoLoop;
  readonly slots: NativeSlotTable;
  /** A nonblocking descriptor of /dev/fuse whose mount's root is a regular file. */
  readonly fd: number;
  readonly target: VolumeTarget;
  readonly options: FrontendOptions;
  /** Tells this mount from any other, also of the same volume (`HeldVolume.mountToken`). */
  readonly mountToken: number;
  /** What an earlier engine left, on a kernel that does not send it again; see there. */
  readonly unanswered?: UnansweredRequests;
  /** The mount is gone or was aborted: no request comes any more. Called once. */
  readonly onGone: () => void;
}

/**
 * Serves one volume as the content of one FUSE file.
 *
 * The descriptor outlives this process (the holder has it), so INIT may long
 * have been answered: nothing that INIT negotiates may depend on the process.
 * A new frontend first asks for everything unanswered to be sent again; those
 * requests carry the top bit in their unique number, which is returned as is.
 */
export class FuseFrontend implements Frontend, DescriptorHandler, TurnHandler {
  private readonly parts: FuseFrontendParts;
  private readonly words: Uint32Array;
  private readonly alignment: number;
  readonly readOnly: boolean;
  private size: number;
  private taken = 0;
  private watching = false;
  private closed = false;
  private gone = false;

  constructor(parts: FuseFrontendParts) {
    this.parts = parts;
    this.words = new Uint32Array(parts.slots.buffer);
    this.alignment = parts.options.blockSizeBytes;
    this.size = parts.options.sizeBytes;
    this.readOnly = parts.options.readOnly;
  }

  /** Begins to take requests, first of all those that an earlier engine left unanswered. */
  start(): void {
    const { loop, fd, unanswered, mountToken } = this.parts;
    if (unanswered === undefined) this.requestResend();
    loop.onSlotFree(this);
    loop.watch(fd, EpollEvent.IN, this);
    this.watching = true;
    for (const slot of unanswered?.take(mountToken) ?? []) this.handle(slot);
  }

  get inFlight(): number {
    return this.taken;
  }

  get sizeBytes(): number {
    return this.size;
  }

  /** The size that GETATTR answers from now on; the holder then tells the loop device. */
  resize(sizeBytes: number): void {
    this.size = sizeBytes;
  }

  onEvents(): void {
    this.takeRequests();
  }

  /** Slots are free again. */
  onTurn(): void {
    if (this.closed || this.watching) return;
    this.parts.loop.change(this.parts.fd, EpollEvent.IN);
    this.watching = true;
    this.takeRequests();
  }

  complete(slot: number, status: number): void {
    this.taken--;
    const opcode = this.words[this.request(slot) + Word.opcode];
    if (status !== 0) this.answer(slot, -status, 0);
    else if (opcode === Opcode.READ) this.answer(slot, 0, this.parts.slots.length[slot] ?? 0);
    else if (opcode === Opcode.WRITE) this.answerWrite(slot);
    else this.answer(slot, 0, 0);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.watching = false;
    this.parts.loop.removeSlotFree(this);
    this.parts.loop.unwatch(this.parts.fd);
  }

  private requestResend(): void {
    const length = wire.putResendNotification(notificationWords, 0);
    const result = write(this.parts.fd, notification.address, length);
    // ENODEV and EPERM: aborted or unmounted meanwhile; the first read says so again.
    if (result === -Errno.ENODEV || result === -Errno.EPERM) return;
    must(result, 'asking for unanswered FUSE requests');
  }

  private takeRequests(): void {
    const { slots, loop, fd } = this.parts;
    for (let count = 0; count < maxRequestsPerWake && !this.closed; count++) {
      const slot = slots.acquire();
      if (slot === -1) {
        // Level-triggered: watching on without a slot would spin.
        loop.change(fd, 0);
        this.watching = false;
        return;
      }
      tagSlot(this.words, slots, slot, this.parts.mountToken);
      const address = slots.address(slot) - wire.requestBytes;
      const length = read(fd, address, wire.requestBytes + maxIoBytes);
      if (length > 0) {
        this.handle(slot);
        continue;
      }
      slots.release(slot);
      if (length === -Errno.EAGAIN) return;
      // ENOENT: the request was interrupted before it was read. EINTR: a signal.
      if (length === -Errno.ENOENT || length === -Errno.EINTR) continue;
      this.lost();
      return;
    }
  }

  /** ENODEV and whatever else `read` says: the connection is over. */
  private lost(): void {
    this.close();
    if (this.gone) return;
    this.gone = true;
    this.parts.onGone();
  }

  private handle(slot: number): void {
    const body = this.request(slot) + Word.body;
    switch (this.words[this.request(slot) + Word.opcode]) {
      case Opcode.READ:
        return this.takeRead(slot, body);
      case Opcode.WRITE:
        return this.takeWrite(slot, body);
      case Opcode.FSYNC:
        return this.submit(slot, OpKind.flush, 0, 0);
      case Opcode.FALLOCATE:
        return this.takeFallocate(slot, body);
      // None of these has an answer.
      case Opcode.INTERRUPT:
      case Opcode.FORGET:
      case Opcode.BATCH_FORGET:
        return this.forget(slot);
      default:
        this.answerAtOnce(slot, body);
    }
  }

  private takeRead(slot: number, body: number): void {
    const offset = wire.getU64(this.words, body + 2);
    const asked = this.words[body + 4] ?? 0;
    const length = Math.max(0, Math.min(asked, this.sizeBytes - offset));
    if (asked > maxIoBytes || !this.isAligned(offset, length)) {
      return this.answer(slot, -Errno.EINVAL, 0);
    }
    if (length === 0) return this.answer(slot, 0, 0);
    this.submit(slot, OpKind.read, offset, length);
  }

  private takeWrite(slot: number, body: number): void {
    const offset = wire.getU64(this.words, body + 2);
    const length = this.words[body + 4] ?? 0;
    const fault = this.mutationFault(offset, length);
    if (fault !== 0 || length > maxIoBytes) return this.answer(slot, -(fault || Errno.EINVAL), 0);
    if (length === 0) return this.answerWrite(slot);
    this.submit(slot, OpKind.write, offset, length);
  }

  private takeFallocate(slot: number, body: number): void {
    const offset = wire.getU64(this.words, body + 2);
    const length = wire.getU64(this.words, body + 4);
    const mode = this.words[body + 6] ?? 0;
    const { KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE } = wire.FallocateMode;
    const kind = mode & ~KEEP_SIZE;
    if (kind !== PUNCH_HOLE && kind !== ZERO_RANGE) {
      return this.answer(slot, -Errno.EOPNOTSUPP, 0);
    }
    const fault = this.mutationFault(offset, length);
    if (fault !== 0) return this.answer(slot, -fault, 0);
    this.submit(slot, OpKind.zero, offset, length);
  }

  private mutationFault(offset: number, length: number): number {
    if (this.readOnly) return Errno.EROFS;
    if (!this.isAligned(offset, length)) return Errno.EINVAL;
    return offset + length > this.sizeBytes ? Errno.ENOSPC : 0;
  }

  /** The loop driver keeps to the block size; anything else is a stranger at the file. */
  private isAligned(offset: number, length: number): boolean {
    return (
      Number.isSafeInteger(offset + length) &&
      offset % this.alignment === 0 &&
      length % this.alignment === 0
    );
  }

  private submit(slot: number, kind: OpKind, offset: number, length: number): void {
    const { slots, target } = this.parts;
    slots.kind[slot] = kind;
    slots.offset[slot] = offset;
    slots.length[slot] = length;
    this.taken++;
    target.submit(slot);
  }

  private answerAtOnce(slot: number, body: number): void {
    const words = this.words;
    const at = this.parts.slots.payloadOffset(slot) >> 2;
    switch (words[this.request(slot) + Word.opcode]) {
      case Opcode.INIT:
        return this.answer(slot, 0, wire.putInitReply(words, body, at));
      case Opcode.GETATTR:
        return this.answer(slot, 0, wire.putAttributes(words, at, this));
      case Opcode.SETATTR:
        return this.answerSetAttributes(slot, body, at);
      case Opcode.OPEN:
        return this.answer(slot, 0, wire.putOpenReply(words, at));
      case Opcode.STATFS:
        return this.answer(slot, 0, wire.putStatfs(words, at, this));
      case Opcode.LSEEK:
        return this.answerSeek(slot, body, at);
      case Opcode.RELEASE:
      case Opcode.DESTROY:
        return this.answer(slot, 0, 0);
      default:
        // ENOSYS is remembered by the kernel for FLUSH, ACCESS, extended attributes and others.
        return this.answer(slot, -Errno.ENOSYS, 0);
    }
  }

  /** Times and modes are of no importance; the size belongs to the volume's record. */
  private answerSetAttributes(slot: number, body: number, at: number): void {
    const valid = this.words[body] ?? 0;
    const size = wire.getU64(this.words, body + 4);
    if ((valid & wire.SETATTR_SIZE) !== 0 && size !== this.sizeBytes) {
      return this.answer(slot, -Errno.EPERM, 0);
    }
    this.answer(slot, 0, wire.putAttributes(this.words, at, this));
  }

  /** The file claims to be all data: its holes are the replicas' affair. */
  private answerSeek(slot: number, body: number, at: number): void {
    const offset = wire.getU64(this.words, body + 2);
    const whence = this.words[body + 4];
    if (whence !== wire.seekData && whence !== wire.seekHole) {
      return this.answer(slot, -Errno.EINVAL, 0);
    }
    if (offset >= this.sizeBytes) return this.answer(slot, -Errno.ENXIO, 0);
    wire.putU64(this.words, at, whence === wire.seekData ? offset : this.sizeBytes);
    this.answer(slot, 0, 8);
  }

  /**
   * Composed away from the request and its payload, which must stay whole until
   * the kernel has the answer: see `UnansweredRequests`.
   */
  private answerWrite(slot: number): void {
    const { slots } = this.parts;
    const at = this.putHeader(slot, answerOffset, 0, 8);
    this.words[at + 4] = this.words[this.request(slot) + Word.body + 4] ?? 0;
    this.words[at + 5] = 0;
    this.sendAnswer(slot, slots.headerAddress(slot) + answerOffset, wire.outHeaderBytes + 8);
  }

  /** Without a payload, or with one that lies at the start of the slot's payload. */
  private answer(slot: number, error: number, payloadBytes: number): void {
    const { slots } = this.parts;
    const offset = payloadBytes === 0 ? answerOffset : slotHeaderBytes - wire.outHeaderBytes;
    this.putHeader(slot, offset, error, payloadBytes);
    const length = wire.outHeaderBytes + payloadBytes;
    this.sendAnswer(slot, slots.headerAddress(slot) + offset, length);
  }

  /** Writes the answer's header at an offset in the slot's header page; answers its first word. */
  private putHeader(slot: number, offset: number, error: number, payloadBytes: number): number {
    const words = this.words;
    const request = this.request(slot);
    const header = (this.parts.slots.headerOffset(slot) + offset) >> 2;
    words[header] = wire.outHeaderBytes + payloadBytes;
    words[header + 1] = error;
    words[header + 2] = words[request + Word.uniqueLow] ?? 0;
    words[header + 3] = words[request + Word.uniqueHigh] ?? 0;
    return header;
  }

  /** Sends header and payload with one call and frees the slot. */
  private sendAnswer(slot: number, address: number, length: number): void {
    const result = write(this.parts.fd, address, length);
    this.forget(slot);
    // ENOENT: the asker was killed. ENODEV and EPERM: unmounted; the next read reports it.
    if (result < 0 && result !== -Errno.ENOENT && result !== -Errno.ENODEV) {
      if (result !== -Errno.EPERM) must(result, 'answering a FUSE request');
    }
  }

  /** The record of an unanswered request ends here. */
  private forget(slot: number): void {
    this.words[this.request(slot) + Word.length] = 0;
    this.parts.slots.release(slot);
  }

  /** The first word of the slot's request. */
  private request(slot: number): number {
    return (this.parts.slots.payloadOffset(slot) - wire.requestBytes) >> 2;
  }
}
