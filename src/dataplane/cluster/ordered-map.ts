const buckets = 256;

/**
 * A map in the order of its keys whose successor shares almost all of it: a
 * change copies one of 256 parts. Built for ids that begin with two random
 * hexadecimal digits; other keys only share less.
 */
export class OrderedMap<V> implements ReadonlyMap<string, V> {
  private constructor(
    private readonly parts: readonly (ReadonlyMap<string, V> | undefined)[],
    readonly size: number,
  ) {}

  static of<V>(entries: Iterable<readonly [string, V]>): OrderedMap<V> {
    if (entries instanceof OrderedMap) return entries as OrderedMap<V>;
    return new OrderedMap<V>([], 0).with(new Map(entries));
  }

  /** The map with these values; undefined takes a key away. This one stays as it is. */
  with(changes: ReadonlyMap<string, V | undefined>): OrderedMap<V> {
    const parts = [...this.parts];
    const copied = new Map<number, Map<string, V>>();
    const unordered = new Set<number>();
    let { size } = this;
    for (const [key, value] of changes) {
      const at = partOf(key);
      const part = copied.get(at) ?? new Map(this.parts[at]);
      copied.set(at, part);
      if (value === undefined) size -= part.delete(key) ? 1 : 0;
      else {
        if (!part.has(key)) {
          size += 1;
          unordered.add(at);
        }
        part.set(key, value);
      }
    }
    for (const [at, part] of copied) parts[at] = unordered.has(at) ? inOrder(part) : part;
    return new OrderedMap(parts, size);
  }

  get(key: string): V | undefined {
    return this.parts[partOf(key)]?.get(key);
  }

  has(key: string): boolean {
    return this.parts[partOf(key)]?.has(key) ?? false;
  }

  forEach(visit: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
  }

  *entries(): MapIterator<[string, V]> {
    for (const part of this.parts) if (part !== undefined) yield* part;
  }

  *keys(): MapIterator<string> {
    for (const part of this.parts) if (part !== undefined) yield* part.keys();
  }

  *values(): MapIterator<V> {
    for (const part of this.parts) if (part !== undefined) yield* part.values();
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries();
  }
}

function inOrder<V>(part: ReadonlyMap<string, V>): Map<string, V> {
  return new Map([...part].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** By the first two characters; never less for a greater key, whatever the characters are. */
function partOf(key: string): number {
  const first = key.charCodeAt(0);
  const high = digit(first);
  if (high === undefined) return Math.max(0, digitsUpTo(first) * 16 - 1);
  const second = key.charCodeAt(1);
  const low = digit(second) ?? Math.max(0, digitsUpTo(second) - 1);
  return Math.min(buckets - 1, high * 16 + low);
}

const zero = 48;
const nine = 57;
const a = 97;
const f = 102;

function digit(code: number): number | undefined {
  if (code >= zero && code <= nine) return code - zero;
  return code >= a && code <= f ? code - a + 10 : undefined;
}

/** How many of the sixteen digits are less than a character that is none of them; NaN is the least. */
function digitsUpTo(code: number): number {
  if (code > f) return 16;
  return code > nine ? 10 : 0;
}
