import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/**
 * What a new holder needs to take over from one that died while the engine
 * went on: which engine it is, and which of its descriptors are which volume.
 */
const stateSchema = z.object({
  engine: z.object({ pid: z.number(), startTicks: z.number() }).optional(),
  /** Numbers within the engine. */
  adopted: z.record(z.string(), z.number()),
  settings: z.record(z.string(), z.record(z.string(), z.unknown())),
  mountTokens: z.record(z.string(), z.number()),
  /** The sequences of the loop devices. */
  devices: z.record(z.string(), z.string()).default({}),
});

export type HolderState = z.infer<typeof stateSchema>;

const emptyState: HolderState = { adopted: {}, settings: {}, mountTokens: {}, devices: {} };

function statePath(runDir: string): string {
  return join(runDir, 'holder.json');
}

/** A missing or damaged file is an empty state: what is mounted is then taken down as left over. */
export function loadHolderState(runDir: string): HolderState {
  try {
    return stateSchema.parse(JSON.parse(readFileSync(statePath(runDir), 'utf8')));
  } catch {
    return emptyState;
  }
}

/** Replaces the file whole: a crash leaves the old or the new one. */
export function saveHolderState(runDir: string, state: HolderState): void {
  const temporary = `${statePath(runDir)}.new`;
  const fd = openSync(temporary, 'w', 0o600);
  writeSync(fd, JSON.stringify(state));
  fsyncSync(fd);
  closeSync(fd);
  renameSync(temporary, statePath(runDir));
}
