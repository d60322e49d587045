import { receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { assert } from '../../kernel/assert.js';
import { createEventFd, drainEventFd, Epoll, EpollEvent } from '../sys/epoll.js';
import { closeFile } from '../sys/files.js';
import { must } from '../sys/libc.js';
import type { DescriptorHandler, IoLoop, LoopTimer, TurnHandler } from './ports.js';
import type { NativeSlotTable } from './slot-table.js';

const eventCapacity = 128;

/** A thread that took no slot for so long gives payload memory back. */
const trimAfterMs = 10_000;

/**
 * The loop of one I/O thread. It blocks in `epoll_wait` until a descriptor is
 * ready or the next timer is due, and so costs nothing when idle.
 *
 * Other threads send messages through a MessagePort and then signal `wakeFd`
 * (`signalEventFd`), because Node's own wake-up never runs here.
 */
export class EpollIoLoop implements IoLoop {
  readonly slots: NativeSlotTable;
  readonly wakeFd: number;

  private readonly epoll = new Epoll(eventCapacity);
  private readonly handlers: (DescriptorHandler | undefined)[] = [];
  /** Tells an event of a closed descriptor from one of its successor with the same number. */
  private readonly tags: number[] = [];
  private nextTag = 1;
  private turnHandlers: readonly TurnHandler[] = [];
  private slotHandlers: readonly TurnHandler[] = [];
  private timers: readonly LoopTimer[] = [];
  private firstSlotHandler = 0;
  private wakeHandler: (() => void) | undefined;
  private stopping = false;
  /** `soon` was called since the turn handlers began to run. */
  private gathered = false;
  private trimAt = Infinity;
  private acquiredAtTrim = 0;

  constructor(slots: NativeSlotTable) {
    this.slots = slots;
    this.wakeFd = createEventFd();
    this.watch(this.wakeFd, EpollEvent.IN, {
      onEvents: () => {
        drainEventFd(this.wakeFd);
        this.wakeHandler?.();
      },
    });
  }

  now(): number {
    return performance.now();
  }

  watch(fd: number, interest: number, handler: DescriptorHandler): void {
    assert(this.handlers[fd] === undefined, `descriptor ${fd} is watched already`);
    this.nextTag = (this.nextTag + 1) >>> 0;
    this.handlers[fd] = handler;
    this.tags[fd] = this.nextTag;
    must(this.epoll.add(fd, interest, this.nextTag), `watching descriptor ${fd}`);
  }

  change(fd: number, interest: number): void {
    const tag = this.tags[fd];
    assert(this.handlers[fd] !== undefined && tag !== undefined, `descriptor ${fd} isn't watched`);
    must(this.epoll.change(fd, interest, tag), `changing the interest in descriptor ${fd}`);
  }

  /** Call it before closing the descriptor. */
  unwatch(fd: number): void {
    if (this.handlers[fd] === undefined) return;
    this.handlers[fd] = undefined;
    this.tags[fd] = 0;
    must(this.epoll.remove(fd), `unwatching descriptor ${fd}`);
  }

  everyTurn(handler: TurnHandler): void {
    this.turnHandlers = [...this.turnHandlers, handler];
  }

  removeTurn(handler: TurnHandler): void {
    this.turnHandlers = this.turnHandlers.filter((other) => other !== handler);
  }

  soon(): void {
    this.gathered = true;
  }

  addTimer(timer: LoopTimer): void {
    this.timers = [...this.timers, timer];
  }

  removeTimer(timer: LoopTimer): void {
    this.timers = this.timers.filter((other) => other !== timer);
  }

  onSlotFree(handler: TurnHandler): void {
    this.slotHandlers = [...this.slotHandlers, handler];
  }

  removeSlotFree(handler: TurnHandler): void {
    this.slotHandlers = this.slotHandlers.filter((other) => other !== handler);
  }

  /** `handler` is called, on this thread, after anybody signalled `wakeFd`. */
  onWake(handler: () => void): void {
    this.wakeHandler = handler;
  }

  /** Hands on every message of `port`, for a sender that signals `wakeFd` after `postMessage`. */
  onMessage(port: MessagePort, handler: (message: unknown) => void): void {
    this.onWake(() => {
      let received = receiveMessageOnPort(port);
      while (received !== undefined) {
        handler(received.message);
        received = receiveMessageOnPort(port);
      }
    });
  }

  /** Returns after `stop`. What a handler throws ends the loop: a doubtful state must not go on. */
  run(): void {
    this.stopping = false;
    while (!this.stopping) this.turn(Infinity);
  }

  /** From within a handler: `run` returns at the end of this turn. */
  stop(): void {
    this.stopping = true;
  }

  /** One turn that blocks for at most `maxWaitMs`; `run` is made of these, tests use it too. */
  turn(maxWaitMs: number): void {
    const count = must(this.epoll.wait(this.waitMs(maxWaitMs)), 'epoll_wait');
    for (let index = 0; index < count; index++) {
      const fd = this.epoll.eventFd(index);
      const handler = this.handlers[fd];
      if (handler === undefined || this.tags[fd] !== this.epoll.eventTag(index)) continue;
      handler.onEvents(fd, this.epoll.eventBits(index));
    }
    this.runTimers();
    this.offerFreeSlots();
    // What was gathered until here is sent now.
    this.gathered = false;
    // The arrays are replaced, never changed in place: a handler may remove itself.
    const handlers = this.turnHandlers;
    for (let index = 0; index < handlers.length; index++) handlers[index]?.onTurn();
  }

  close(): void {
    this.unwatch(this.wakeFd);
    closeFile(this.wakeFd);
    this.epoll.close();
  }

  private waitMs(maxWaitMs: number): number {
    if (this.gathered || (this.slots.starved && this.slots.freeCount > 0)) return 0;
    const timers = this.timers;
    let deadline = this.trimAt;
    for (let index = 0; index < timers.length; index++) {
      const next = timers[index]?.nextDeadline() ?? Infinity;
      if (next < deadline) deadline = next;
    }
    let wait = maxWaitMs;
    if (deadline !== Infinity) wait = Math.min(wait, Math.max(0, deadline - this.now()));
    // Rounded up, or the last fraction of a millisecond would be spent spinning.
    return wait === Infinity ? -1 : Math.min(Math.ceil(wait), 0x7fffffff);
  }

  private runTimers(): void {
    const now = this.now();
    const timers = this.timers;
    for (let index = 0; index < timers.length; index++) {
      const timer = timers[index];
      if (timer !== undefined && timer.nextDeadline() <= now) timer.tick(now);
    }
    this.trimWhenIdle(now);
  }

  private offerFreeSlots(): void {
    const slots = this.slots;
    if (!slots.starved || slots.freeCount === 0) return;
    slots.starved = false;
    // Each time another one is first: a busy volume must not starve its neighbours.
    const handlers = this.slotHandlers;
    const count = handlers.length;
    this.firstSlotHandler = count === 0 ? 0 : (this.firstSlotHandler + 1) % count;
    for (let index = 0; index < count; index++) {
      handlers[(this.firstSlotHandler + index) % count]?.onTurn();
    }
  }

  private trimWhenIdle(now: number): void {
    const acquired = this.slots.acquired;
    if (now < this.trimAt) {
      if (this.trimAt === Infinity && acquired !== this.acquiredAtTrim) {
        this.acquiredAtTrim = acquired;
        this.trimAt = now + trimAfterMs;
      }
      return;
    }
    if (acquired === this.acquiredAtTrim) {
      this.slots.trim();
      this.trimAt = Infinity;
    } else {
      this.acquiredAtTrim = acquired;
      this.trimAt = now + trimAfterMs;
    }
  }
}
