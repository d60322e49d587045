/**
 * A seeded pseudo-random generator (sfc32): the only source of chance in a
 * simulated run, so that a seed reproduces the run exactly.
 */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(seed: number) {
    this.a = seed | 0;
    this.b = (seed * 0x9e3779b1) | 0;
    this.c = 0x5eed5eed;
    // Neighbouring seeds look alike until the state has been stirred.
    for (let i = 0; i < 12; i++) this.bits();
  }

  /** A number in [0, 1). */
  next(): number {
    return (this.bits() >>> 0) / 4294967296;
  }

  /** An integer in [0, bound). */
  int(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)];
  }

  /** Exponentially distributed, as the gaps between independent events are. */
  exponential(mean: number): number {
    return -Math.log(1 - this.next()) * mean;
  }

  private bits(): number {
    const sum = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (this.c << 21) | (this.c >>> 11);
    this.c = (this.c + sum) | 0;
    return sum;
  }
}
