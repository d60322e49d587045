/**
 * Protocol bugs that the simulation plants to show that it would find them.
 * Production code constructs the cores without any; no configuration reaches this.
 */
export const plantedFaults = [
  'ack_before_cas',
  'no_fence',
  'flush_skips_replica',
  'marks_dropped',
  'stale_lease_believed',
  'resync_wrong_direction',
  'snapshot_unordered',
  'discard_lost_in_resync',
  'equalize_skipped',
  'lossy_trusted',
  'read_overlaps_write',
  'blank_compared_by_marks',
  'left_without_record',
  'fence_unconfirmed',
] as const;

export type PlantedFault = (typeof plantedFaults)[number];

export type PlantedFaults = ReadonlySet<PlantedFault>;

export const noFaults: PlantedFaults = new Set();
