import { libc, must, outcome } from './libc.js';
import { closeFile, read, write } from './files.js';
import { allocateMemory } from './memory.js';

/** Source: linux/eventpoll.h. */
export const EpollEvent = { IN: 1, OUT: 4, ERR: 8, HUP: 16, RDHUP: 0x2000 } as const;

const EPOLL_CLOEXEC = 0o2000000;
const EFD_CLOEXEC_NONBLOCK = 0o2004000;
const CTL_ADD = 1;
const CTL_DEL = 2;
const CTL_MOD = 3;

/** `struct epoll_event` is packed on x86-64 only. */
const eventBytes = process.arch === 'x64' ? 12 : 16;
const dataWord = process.arch === 'x64' ? 1 : 2;

const createCall = libc.func('epoll_create1', 'int', ['int']) as (flags: number) => number;
const controlCall = libc.func('epoll_ctl', 'int', ['int', 'int', 'int', 'uintptr_t']) as (
  epoll: number,
  operation: number,
  fd: number,
  event: number,
) => number;
const waitCall = libc.func('epoll_wait', 'int', ['int', 'uintptr_t', 'int', 'int']) as (
  epoll: number,
  events: number,
  capacity: number,
  timeoutMs: number,
) => number;
const eventfdCall = libc.func('eventfd', 'int', ['uint', 'int']) as (
  initial: number,
  flags: number,
) => number;

/** An epoll instance with its own event buffer: `wait`, then ask for each event by index. */
export class Epoll {
  readonly fd: number;
  private readonly capacity: number;
  private readonly eventsAddress: number;
  private readonly words: Uint32Array;
  private readonly controlAddress: number;
  private readonly controlWords: Uint32Array;

  constructor(capacity: number) {
    this.fd = must(outcome(createCall(EPOLL_CLOEXEC)), 'epoll_create1');
    this.capacity = capacity;
    const memory = allocateMemory(capacity * eventBytes + 64);
    this.eventsAddress = memory.address + 64;
    this.controlAddress = memory.address;
    this.words = new Uint32Array(memory.buffer, 64, (capacity * eventBytes) >> 2);
    this.controlWords = new Uint32Array(memory.buffer, 0, 4);
  }

  /** Level-triggered. 0 or -errno. `tag` (32 bits) comes back with each event. */
  add(fd: number, interest: number, tag = 0): number {
    return this.control(CTL_ADD, fd, interest, tag);
  }

  change(fd: number, interest: number, tag = 0): number {
    return this.control(CTL_MOD, fd, interest, tag);
  }

  /** Before the descriptor is closed: a duplicate elsewhere would keep it registered. */
  remove(fd: number): number {
    return this.control(CTL_DEL, fd, 0, 0);
  }

  /** The number of events, 0 after the time-out (-1: none), or -errno (EINTR is 0 events). */
  wait(timeoutMs: number): number {
    const count = outcome(waitCall(this.fd, this.eventsAddress, this.capacity, timeoutMs));
    return count === -4 ? 0 : count;
  }

  eventFd(index: number): number {
    return this.words[((index * eventBytes) >> 2) + dataWord] ?? -1;
  }

  eventTag(index: number): number {
    return this.words[((index * eventBytes) >> 2) + dataWord + 1] ?? 0;
  }

  eventBits(index: number): number {
    return this.words[(index * eventBytes) >> 2] ?? 0;
  }

  close(): void {
    closeFile(this.fd);
  }

  private control(operation: number, fd: number, interest: number, tag: number): number {
    this.controlWords[0] = interest;
    this.controlWords[dataWord] = fd;
    this.controlWords[dataWord + 1] = tag;
    return outcome(controlCall(this.fd, operation, fd, this.controlAddress));
  }
}

const scratch = allocateMemory(64);
const scratchWords = new BigUint64Array(scratch.buffer, 0, 2);
scratchWords[0] = 1n;

/** A descriptor that wakes an epoll loop of another thread. */
export function createEventFd(): number {
  return must(outcome(eventfdCall(0, EFD_CLOEXEC_NONBLOCK)), 'eventfd');
}

/** Makes the eventfd readable; from any thread. */
export function signalEventFd(fd: number): void {
  write(fd, scratch.address, 8);
}

/** Takes all signals: false when there was none. */
export function drainEventFd(fd: number): boolean {
  return read(fd, scratch.address + 8, 8) === 8;
}
