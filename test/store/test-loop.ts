import type { DescriptorHandler } from '../../src/dataplane/io/ports.js';
import type { IoLoop } from '../../src/dataplane/io/ports.js';
import { Epoll } from '../../src/dataplane/sys/epoll.js';

/** As much of an I/O loop as a store needs: `until` turns it, as an I/O thread would. */
export class TestLoop {
  private readonly epoll = new Epoll(16);
  private readonly handlers = new Map<number, DescriptorHandler>();

  watch(fd: number, interest: number, handler: DescriptorHandler): void {
    this.handlers.set(fd, handler);
    this.epoll.add(fd, interest);
  }

  unwatch(fd: number): void {
    this.handlers.delete(fd);
    this.epoll.remove(fd);
  }

  until(condition: () => boolean, timeoutMs = 20_000): void {
    const deadline = performance.now() + timeoutMs;
    while (!condition()) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error('the loop waited in vain');
      const count = this.epoll.wait(Math.min(left, 100));
      for (let index = 0; index < count; index++) {
        const fd = this.epoll.eventFd(index);
        this.handlers.get(fd)?.onEvents(fd, this.epoll.eventBits(index));
      }
    }
  }

  close(): void {
    this.epoll.close();
  }

  /** The store uses `watch` and `unwatch` only. */
  asIoLoop(): IoLoop {
    return this as unknown as IoLoop;
  }
}
