import type { Attachment } from './attachment.js';
import type { Checker } from './checker.js';
import type { OpType } from './history.js';
import { maxIoSectors } from './geometry.js';
import type { Plan } from './plan.js';
import type { Random } from './random.js';

/** Readers and writers of the volume: they live and die with the coordinator that serves them. */
export class Clients {
  /** Requests issued so far. */
  issued = 0;
  stopped = false;
  private readonly thinkMeanMs: number;
  private readonly totalWeight: number;

  constructor(
    private readonly plan: Plan,
    private readonly random: Random,
    /** Knows the size that the volume certainly has. */
    private readonly checker: Checker,
  ) {
    this.thinkMeanMs = (plan.activeMs * plan.clients) / plan.opBudget;
    const { read, write, zero, flush } = plan.weights;
    this.totalWeight = read + write + zero + flush;
  }

  /** Lets this run's number of clients use the attachment. */
  use(attachment: Attachment): void {
    for (let client = 0; client < this.plan.clients; client++) {
      attachment.process.after(this.random.exponential(this.thinkMeanMs), () =>
        this.next(attachment),
      );
    }
  }

  private next(attachment: Attachment): void {
    if (this.stopped || !attachment.alive || attachment.draining) return;
    if (this.issued >= this.plan.opBudget) return;
    this.issued++;
    const type = this.pickType();
    const [first, count] = type === 'flush' ? [0, 0] : this.pickRange(type);
    const taken = attachment.submit(type, first, count, (status) => {
      // A volume that answers with errors is asked again, but not at once.
      const pause = this.random.chance(0.3) ? 0 : this.random.exponential(this.thinkMeanMs);
      attachment.process.after(status === 0 ? pause : pause + 20, () => this.next(attachment));
    });
    if (!taken) attachment.process.after(20, () => this.next(attachment));
  }

  private pickType(): OpType {
    const { read, write, zero } = this.plan.weights;
    const point = this.random.next() * this.totalWeight;
    if (point < read) return 'read';
    if (point < read + write) return 'write';
    return point < read + write + zero ? 'zero' : 'flush';
  }

  private pickRange(type: OpType): [first: number, count: number] {
    const { sectors } = this.checker;
    const { hotChance } = this.plan;
    const size = sectors.length;
    const longest = type === 'zero' && this.random.chance(0.2) ? size : maxIoSectors;
    const length = this.random.chance(0.5) ? 1 : 1 + this.random.int(longest);
    const space = this.random.chance(hotChance) ? 8 : size;
    const first = this.random.int(space);
    return [first, Math.min(length, size - first)];
  }
}
