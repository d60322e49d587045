import { MessageChannel } from 'node:worker_threads';
import { EpollEvent, signalEventFd } from '../sys/epoll.js';
import { closeFile } from '../sys/files.js';
import { receive, send, socketPair } from '../sys/sockets.js';
import { EpollIoLoop } from './io-loop.js';
import { NativeSlotTable } from './slot-table.js';

function withLoop(run: (loop: EpollIoLoop) => void): void {
  const slots = new NativeSlotTable(2);
  const loop = new EpollIoLoop(slots);
  try {
    run(loop);
  } finally {
    loop.close();
    slots.unmap();
  }
}

test('slots: last in, first out; aligned; a double release is refused', () => {
  const slots = new NativeSlotTable(3);
  const [a, b] = [slots.acquire(), slots.acquire()];
  expect([a, b]).toEqual([0, 1]);
  slots.release(a);
  expect(slots.acquire()).toBe(a);
  expect(slots.acquire()).toBe(2);
  expect(slots.starved).toBe(false);
  expect(slots.acquire()).toBe(-1);
  expect(slots.starved).toBe(true);
  for (const slot of [a, b, 2]) expect(slots.address(slot) % 4096).toBe(0);
  const bytes = new Uint8Array(slots.buffer);
  bytes[slots.payloadOffset(b) + 1024 * 1024 - 1] = 9;
  bytes[slots.payloadOffset(b)] = 8;
  slots.release(b);
  expect(() => slots.release(b)).toThrow('not in use');
  slots.trim();
  expect(bytes[slots.payloadOffset(b)]).toBe(8);
  expect(bytes[slots.payloadOffset(b) + 1024 * 1024 - 1]).toBe(0);
  slots.unmap();
});

test('events reach their handler, and none of a closed descriptor reach its successor', () => {
  withLoop((loop) => {
    const [left, right] = socketPair();
    const address = loop.slots.address(loop.slots.acquire());
    const seen: string[] = [];
    loop.watch(left, EpollEvent.IN, {
      onEvents: (fd, events) => {
        seen.push(`${events & EpollEvent.IN}:${receive(fd, address, 10)}`);
      },
    });
    send(right, address, 3);
    loop.turn(1000);
    expect(seen).toEqual(['1:3']);
    const [other, peer] = socketPair();
    // Both become ready in one turn; whichever is handled first closes the other.
    let calls = 0;
    const closing = (mine: number, its: number) => ({
      onEvents: () => {
        calls++;
        loop.unwatch(its);
        loop.change(mine, 0);
      },
    });
    loop.unwatch(left);
    loop.watch(left, EpollEvent.IN, closing(left, other));
    loop.watch(other, EpollEvent.IN, closing(other, left));
    send(right, address, 1);
    send(peer, address, 1);
    loop.turn(1000);
    expect(calls).toBe(1);
    loop.unwatch(left);
    loop.unwatch(other);
    for (const fd of [left, right, other, peer]) closeFile(fd);
  });
});

test('a timer ticks at its deadline and not before', () => {
  withLoop((loop) => {
    const start = loop.now();
    let deadline = start + 30;
    let ticked = 0;
    loop.addTimer({
      nextDeadline: () => deadline,
      tick: (now) => {
        ticked = now;
        deadline = Infinity;
        loop.stop();
      },
    });
    let turns = 0;
    loop.everyTurn({ onTurn: () => void turns++ });
    loop.run();
    expect(ticked - start).toBeGreaterThanOrEqual(30);
    expect(turns).toBeLessThan(4);
  });
});

test('what a turn handler gathers for an earlier one does not wait for an event', () => {
  withLoop((loop) => {
    let unsent = 0;
    let sent = 0;
    loop.everyTurn({
      onTurn: () => {
        sent += unsent;
        unsent = 0;
        if (sent === 2) loop.stop();
      },
    });
    loop.everyTurn({
      onTurn: () => {
        unsent++;
        loop.soon();
      },
    });
    // Without the further turns this would block for good.
    loop.turn(0);
    loop.run();
    expect(sent).toBe(2);
  });
});

test('a freed slot is offered to those who found none, in turns', () => {
  withLoop((loop) => {
    const slots = loop.slots;
    const offered: string[] = [];
    loop.onSlotFree({ onTurn: () => void offered.push('a') });
    loop.onSlotFree({ onTurn: () => void offered.push('b') });
    const mine = [slots.acquire(), slots.acquire()];
    loop.turn(0);
    expect(slots.acquire()).toBe(-1);
    loop.turn(0);
    expect(offered).toEqual([]);
    slots.release(mine[0] ?? -1);
    loop.turn(10_000);
    expect(offered).toHaveLength(2);
    slots.acquire();
    slots.acquire();
    slots.release(mine[0] ?? -1);
    loop.turn(10_000);
    expect(offered).toHaveLength(4);
    expect(offered[0]).not.toBe(offered[2]);
  });
});

test('messages arrive through a port once the loop is woken', () => {
  withLoop((loop) => {
    const { port1, port2 } = new MessageChannel();
    const received: unknown[] = [];
    loop.onMessage(port2, (message) => {
      received.push(message);
      if (received.length === 2) loop.stop();
    });
    port1.postMessage('one');
    port1.postMessage({ two: 2 });
    signalEventFd(loop.wakeFd);
    loop.run();
    expect(received).toEqual(['one', { two: 2 }]);
    port1.close();
  });
});
