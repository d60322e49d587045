import { GiveUp } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import type { VolumeWriter } from '../px/writer.js';
import { check } from '../runner/check.js';
import type { CaseHelpers } from '../runner/types.js';

/** What each of the node operations is tried on. */
export interface Setting {
  readonly cluster: KubernetesCluster;
  readonly helpers: CaseHelpers;
  /** Uses the node that something happens to. */
  readonly mover: VolumeWriter;
  /** Uses another one: for it nothing may happen at all. */
  readonly bystander: VolumeWriter;
}

/** Every row that was ever acknowledged is on the volumes. */
export async function checkNothingLost({ mover, bystander }: Setting): Promise<void> {
  for (const writer of [mover, bystander]) {
    const lost = await writer.lostRows();
    check(lost.length === 0, `${writer.name} has lost rows: ${lost.slice(0, 20).join(', ')}`);
  }
}

/** Nobody was told of a failed write, and nobody waited for long. */
export async function checkUndisturbed(
  writer: VolumeWriter,
  sinceSeconds: number,
  longestSeconds: number,
): Promise<void> {
  const errors = await writer.errorsSince(sinceSeconds);
  check(errors.length === 0, `${writer.name} had errors: ${errors.slice(0, 5).join('; ')}`);
  const pause = await writer.longestPauseSince(sinceSeconds);
  check(pause <= longestSeconds, `${writer.name} waited for ${pause} s`);
}

/** Within a wait: what must not be so at any moment ends it at once. */
export function checkAlways(condition: boolean, message: string): void {
  if (!condition) throw new GiveUp(message);
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
