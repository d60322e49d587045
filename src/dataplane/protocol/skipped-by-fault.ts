import type { Link } from './link.js';
import type { PlantedFaults } from './planted-faults.js';

/** The replicas that a planted bug forgets; a test's business only. */
export function skippedByFault(
  faults: PlantedFaults,
  links: readonly Link[],
  flush: boolean,
): number {
  const required = links.filter((link) => link.required);
  let skipped = 0;
  if (faults.has('ack_before_cas')) {
    for (const link of links) if (link.role === 'leaving' || !link.up) skipped |= link.bit;
  }
  if (faults.has('flush_skips_replica') && flush && required.length > 1) {
    skipped |= required.filter((link) => !link.local).at(-1)?.bit ?? 0;
  }
  const all = required.reduce((mask, link) => mask | link.bit, 0);
  return (all & ~skipped) === 0 ? 0 : skipped;
}
