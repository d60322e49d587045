import { PxError } from './errors.js';

/** The suffixes of Kubernetes quantities, as powers: of 1000 and of 1024. */
const suffixes: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** A Kubernetes quantity as bytes: `100Gi`, `1.5Ti`, `5e9`, `4096`. Fractions of a byte round up. */
export function parseQuantityBytes(quantity: string | number, field: string): number {
  const match = /^([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,2})|([kMGTP]i?|Ki)?)$/.exec(
    String(quantity).trim(),
  );
  const scale = suffixes[match?.[3] ?? ''];
  const bytes =
    match === null || scale === undefined
      ? Number.NaN
      : Math.ceil(Number(match[1]) * scale * 10 ** Number(match[2] ?? '0'));
  if (!Number.isSafeInteger(bytes)) {
    throw new PxError(
      'invalid_argument',
      `${field}: "${quantity}" is not a size: it must be a quantity such as 100Gi, below 8Pi`,
      { field },
    );
  }
  return bytes;
}

/** Bytes as the shortest exact binary quantity: what `kubectl get` shows well. */
export function formatQuantityBytes(bytes: number): string {
  for (const suffix of ['Pi', 'Ti', 'Gi', 'Mi', 'Ki']) {
    const scale = suffixes[suffix];
    if (bytes >= scale && bytes % scale === 0) return `${bytes / scale}${suffix}`;
  }
  return String(bytes);
}
