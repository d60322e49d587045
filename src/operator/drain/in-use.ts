import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { driverName } from '../storage-cluster/names.js';
import {
  claimsOf,
  podsWithPxVolumes,
  pxClaims,
  type PersistentVolume,
  type WorkloadPod,
} from '../workloads.js';

/** As many as a person reads; the others are seen when these are gone. */
const most = 5;

/**
 * What a node has attached, or reserved, as a person knows it. Pure. A decommission
 * waits for it: px forgets a node by fencing it, and a pod there would lose its disk.
 */
export function usesOn(
  pxId: string,
  volumes: readonly Pick<Volume__Output, 'id' | 'name' | 'attached_on' | 'published_on'>[],
  pods: readonly WorkloadPod[],
  persistentVolumes: readonly PersistentVolume[],
): readonly string[] {
  const used = volumes.filter(
    ({ attached_on: attachedOn, published_on: publishedOn }) =>
      attachedOn === pxId || publishedOn === pxId,
  );
  const claims = pxClaims(persistentVolumes, driverName);
  const users = podsWithPxVolumes(pods, claims, driverName);
  const podsOf = (id: string): readonly string[] =>
    users
      .filter((pod) =>
        claimsOf(pod).some((claim) => claims.get(claim)?.spec?.csi?.volumeHandle === id),
      )
      .map(({ metadata }) => `${metadata.namespace ?? 'default'}/${metadata.name}`);
  const sentences = used.map(({ id, name }) => {
    const names = podsOf(id);
    return names.length === 0 ? `volume ${name}` : `volume ${name} (pod ${names.join(', ')})`;
  });
  const more = sentences.length - most;
  return more > 0 ? [...sentences.slice(0, most), `${more} more`] : sentences;
}
