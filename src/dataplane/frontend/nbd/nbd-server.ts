import type { DescriptorHandler, IoLoop } from '../../io/ports.js';
import type { NativeSlotTable } from '../../io/slot-table.js';
import { EpollEvent } from '../../sys/epoll.js';
import { closeFile } from '../../sys/files.js';
import { accept, setNoDelay } from '../../sys/sockets.js';
import { NbdConnection } from './nbd-connection.js';
import type { NbdExports } from './nbd-export.js';

export interface NbdServerParts {
  readonly loop: IoLoop;
  readonly slots: NativeSlotTable;
  /** From `listenUnix` or `listenTcp`; the server closes it. */
  readonly listener: number;
  readonly exports: NbdExports;
}

/** Accepts NBD clients on an I/O thread; all exports must belong to that thread. */
export class NbdServer implements DescriptorHandler {
  readonly connections = new Set<NbdConnection>();
  private readonly parts: NbdServerParts;
  private listening = true;

  constructor(parts: NbdServerParts) {
    this.parts = parts;
    parts.loop.watch(parts.listener, EpollEvent.IN, this);
  }

  onEvents(): void {
    const { loop, slots, exports, listener } = this.parts;
    for (;;) {
      const fd = accept(listener);
      // Whatever went wrong is the affair of that one client; EAGAIN ends the loop as well.
      if (fd < 0) return;
      // Refused on a unix socket, where there is nothing to delay.
      setNoDelay(fd);
      const connection = new NbdConnection({
        ...{ loop, slots, fd, exports },
        onClosed: (closed) => this.connections.delete(closed),
      });
      this.connections.add(connection);
      connection.begin();
    }
  }

  /** Accepts nobody any more and lets every connection end after what is at work. */
  close(): void {
    if (!this.listening) return;
    this.listening = false;
    this.parts.loop.unwatch(this.parts.listener);
    closeFile(this.parts.listener);
    for (const connection of [...this.connections]) connection.close();
  }
}
