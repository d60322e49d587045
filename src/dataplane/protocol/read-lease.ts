import type { CoordinatorCore } from './core.js';
import type { PlantedFaults } from './planted-faults.js';

/** Our clock may run this much slower than a replica's before its lease is misjudged. */
export const leaseSafety = 0.9;

/**
 * While every replica that etcd counts on grants its lease, no newer
 * coordinator serves (rules L1 and W7).
 */
export function isLeased(core: CoordinatorCore, faults: PlantedFaults): boolean {
  if (faults.has('stale_lease_believed')) return true;
  const now = core.clock.now();
  const { links } = core;
  for (let index = 0; index < links.length; index += 1) {
    if (links[index].guardsReads && !(now < links[index].leaseUntil)) return false;
  }
  return true;
}
