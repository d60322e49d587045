/**
 * Is one sector's history that of a register? A search over the orders that
 * the operations' times allow (Wing and Gong), remembering the states visited.
 * It runs only for sectors whose history the cheap check could not explain.
 */
export interface RegisterOp {
  readonly isWrite: boolean;
  readonly value: number;
  readonly invoke: number;
  /** When it was answered; for an optional one, when it was settled at the latest. */
  readonly settled: number;
  /** A write that was never acknowledged: it may have had no effect. */
  readonly optional: boolean;
}

export type Verdict = 'linearizable' | 'violated' | 'undecided';

/** The register's value is one of `initials`, unknown until it is read or written. */
const unknown = -1;
const stepLimit = 200_000;

export function checkRegister(initials: ReadonlySet<number>, ops: readonly RegisterOp[]): Verdict {
  const order = [...ops].sort((left, right) => left.invoke - right.invoke);
  const done = new Uint8Array(order.length);
  const visited = new Set<string>();
  const [only] = initials;
  let steps = 0;

  /** Ops before `first` are done or dropped. */
  const search = (first: number, value: number): Verdict => {
    if (++steps > stepLimit) return 'undecided';
    let start = first;
    while (start < order.length && done[start] === 1) start++;
    let rest = false;
    let earliestEnd = Infinity;
    for (let i = start; i < order.length; i++) {
      if (done[i] === 1) continue;
      const op = order[i];
      if (!op.optional) {
        rest = true;
        if (op.settled < earliestEnd) earliestEnd = op.settled;
      }
    }
    if (!rest) return 'linearizable';
    const key = `${value}:${start}:${done.subarray(start).join('')}`;
    if (visited.has(key)) return 'violated';
    visited.add(key);
    let undecided = false;
    for (let i = start; i < order.length; i++) {
      const op = order[i];
      // Whatever was answered before this one began must come first.
      if (op.invoke > earliestEnd) break;
      if (done[i] === 1) continue;
      if (!op.isWrite && !matches(op.value, value)) continue;
      const dropped = dropExpired(i, op.invoke);
      done[i] = 1;
      const verdict = search(start, op.value);
      done[i] = 0;
      for (const index of dropped) done[index] = 0;
      if (verdict === 'linearizable') return verdict;
      if (verdict === 'undecided') undecided = true;
    }
    return undecided ? 'undecided' : 'violated';
  };

  /** Optional writes settled before an op began can't take effect after it. */
  const dropExpired = (index: number, invoke: number): number[] => {
    const dropped: number[] = [];
    for (let i = 0; i < index; i++) {
      const op = order[i];
      if (done[i] === 0 && op.optional && op.settled < invoke) {
        done[i] = 1;
        dropped.push(i);
      }
    }
    return dropped;
  };

  const matches = (read: number, value: number): boolean =>
    value === unknown ? initials.has(read) : value === read;

  return search(0, initials.size === 1 ? only : unknown);
}
