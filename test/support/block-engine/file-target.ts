import type { Frontend, TurnHandler, VolumeTarget } from '../../../src/dataplane/io/ports.js';
import type { NativeSlotTable } from '../../../src/dataplane/io/slot-table.js';
import { OpKind, Status } from '../../../src/dataplane/protocol/ops.js';
import * as files from '../../../src/dataplane/sys/files.js';
import { must } from '../../../src/dataplane/sys/libc.js';

type Counts = ReturnType<typeof noCounts>;

const noCounts = () => ({ reads: 0, writes: 0, zeroes: 0, flushes: 0, zeroedBytes: 0 });

/**
 * The simplest volume there is: one sparse file. Requests are answered at the
 * end of the turn, so that a kill finds many of them done and unanswered.
 */
export class FileTarget implements VolumeTarget, TurnHandler {
  readonly counts: Counts;
  frontend: Frontend | undefined;
  private readonly done: number[] = [];
  private readonly fd: number;
  private readonly slots: NativeSlotTable;

  constructor(path: string, slots: NativeSlotTable, counts = noCounts()) {
    this.counts = counts;
    this.fd = must(files.openFile(path, files.OpenFlag.RDWR), `opening ${path}`);
    this.slots = slots;
  }

  submit(slot: number): void {
    this.done.push(slot, this.perform(slot));
  }

  onTurn(): void {
    while (this.done.length > 0) {
      const [slot = -1, status = 0] = this.done.splice(0, 2);
      this.frontend?.complete(slot, status);
    }
  }

  private perform(slot: number): number {
    const address = this.slots.address(slot);
    const offset = this.slots.offset[slot] ?? 0;
    const length = this.slots.length[slot] ?? 0;
    switch (this.slots.kind[slot]) {
      case OpKind.read:
        this.counts.reads++;
        return expectBytes(files.pread(this.fd, address, length, offset), length);
      case OpKind.write:
        this.counts.writes++;
        return expectBytes(files.pwrite(this.fd, address, length, offset), length);
      case OpKind.zero:
        this.counts.zeroes++;
        this.counts.zeroedBytes += length;
        return -files.punchHole(this.fd, offset, length);
      default:
        this.counts.flushes++;
        return -files.fdatasync(this.fd);
    }
  }
}

function expectBytes(result: number, length: number): number {
  return result === length ? Status.ok : result < 0 ? -result : Status.ioError;
}
