import { PxError } from '../../kernel/errors.js';

/** One operation at a time on each volume, within this process. */
export class KeyedLocks {
  private readonly tails = new Map<string, Promise<void>>();

  /** Waits its turn for at most `waitMs`; then `aborted`: somebody is truly at work. */
  async run<T>(key: string, waitMs: number, work: () => Promise<T>): Promise<T> {
    const before = this.tails.get(key) ?? Promise.resolve();
    let release: () => void = () => undefined;
    const mine = new Promise<void>((resolve) => (release = resolve));
    const tail = before.then(() => mine);
    this.tails.set(key, tail);
    try {
      await turn(before, waitMs, key);
      return await work();
    } finally {
      release();
      if (this.tails.get(key) === tail) this.tails.delete(key);
    }
  }

  isHeld(key: string): boolean {
    return this.tails.has(key);
  }
}

async function turn(before: Promise<void>, waitMs: number, key: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new PxError('aborted', `another operation on volume "${key}" is at work`)),
      waitMs,
    );
  });
  try {
    await Promise.race([before, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
