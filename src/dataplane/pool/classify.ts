import type { DeviceFacts } from './block-device.js';
import type { PoolClass } from './contracts.js';

export interface ReadSpeed {
  readonly readBytesPerSecond: number;
  readonly readIops: number;
}

/** What decides about a class: what the device is, and what it can do. */
export type ClassFacts = Pick<DeviceFacts, 'media' | 'rotational'> & ReadSpeed;

/** Random 4 KiB reads a second, a few at a time, that no spinning disk reaches. */
const flashIops = 3_000;
const fastFlashIops = 20_000;

/**
 * A loop device measures the page cache of its host, so that its speed says
 * nothing; it is medium. A disk that says it rotates but answers like flash is
 * a virtual one. A speed of 0 means that nothing was measured.
 */
export function classify(facts: ClassFacts): PoolClass {
  if (facts.media === 'loop' || facts.media === 'directory') return 'medium';
  if (facts.readIops === 0) {
    if (facts.rotational) return 'low';
    return facts.media === 'nvme' ? 'high' : 'medium';
  }
  if (facts.readIops < flashIops) return 'low';
  if (facts.rotational) return 'medium';
  return facts.readIops >= fastFlashIops ? 'high' : 'medium';
}
