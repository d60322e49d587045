import type { KubeObject } from './ports.js';

/** Which pods and attachments depend on px volumes. Pure. */

export interface WorkloadPod extends KubeObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly volumes?: readonly {
      readonly name: string;
      readonly persistentVolumeClaim?: { readonly claimName: string };
      readonly ephemeral?: object;
      readonly csi?: { readonly driver: string };
    }[];
  };
  readonly status?: { readonly phase?: string };
}

export interface PersistentVolume extends KubeObject {
  readonly spec?: {
    readonly csi?: { readonly driver: string; readonly volumeHandle: string };
    readonly claimRef?: {
      readonly namespace?: string;
      readonly name?: string;
      readonly uid?: string;
    };
  };
}

export interface VolumeAttachment extends KubeObject {
  readonly spec?: {
    readonly attacher?: string;
    readonly nodeName?: string;
    readonly source?: { readonly persistentVolumeName?: string };
  };
}

/** The claims that are bound to px volumes, as "namespace/name". */
export function pxClaims(
  volumes: readonly PersistentVolume[],
  driver: string,
): ReadonlyMap<string, PersistentVolume> {
  const claims = new Map<string, PersistentVolume>();
  for (const volume of volumes) {
    const claim = volume.spec?.claimRef;
    // The claimRef of a PV is what binding goes by; a PVC's volumeName follows it.
    if (volume.spec?.csi?.driver !== driver || claim?.name === undefined) continue;
    claims.set(`${claim.namespace ?? 'default'}/${claim.name}`, volume);
  }
  return claims;
}

/** The px claims that a pod uses, as "namespace/name"; [] for none. */
export function claimsOf(pod: WorkloadPod): readonly string[] {
  const namespace = pod.metadata.namespace ?? 'default';
  return (pod.spec?.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim !== undefined) {
      return [`${namespace}/${volume.persistentVolumeClaim.claimName}`];
    }
    // A generic ephemeral volume's claim is named "<pod>-<volume>".
    return volume.ephemeral === undefined
      ? []
      : [`${namespace}/${pod.metadata.name}-${volume.name}`];
  });
}

/** A pod that has ended holds no volume any more, and its result must stay readable. */
function hasEnded(pod: WorkloadPod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

export function podsWithPxVolumes(
  pods: readonly WorkloadPod[],
  claims: ReadonlyMap<string, PersistentVolume>,
  driver: string,
): readonly WorkloadPod[] {
  return pods.filter(
    (pod) =>
      !hasEnded(pod) &&
      (claimsOf(pod).some((claim) => claims.has(claim)) ||
        (pod.spec?.volumes ?? []).some(({ csi }) => csi?.driver === driver)),
  );
}

/** Attachments of our driver on a node that nobody has asked to end yet. */
export function attachmentsOn(
  attachments: readonly VolumeAttachment[],
  nodeName: string,
  driver: string,
): readonly VolumeAttachment[] {
  return attachments.filter(
    ({ spec, metadata }) =>
      spec?.attacher === driver &&
      spec.nodeName === nodeName &&
      metadata.deletionTimestamp === undefined,
  );
}

/**
 * What may go of a node of which only some volumes are fenced: pods that use no
 * other px volume, and the attachments of volumes that no pod which stays uses.
 * `pods` are those with px volumes.
 */
export function releasable(
  pods: readonly WorkloadPod[],
  attachments: readonly VolumeAttachment[],
  claims: ReadonlyMap<string, PersistentVolume>,
  fenced: ReadonlySet<string>,
  driver: string,
): { readonly doomed: readonly WorkloadPod[]; readonly stale: readonly VolumeAttachment[] } {
  const volumesOf = (pod: WorkloadPod): readonly PersistentVolume[] =>
    claimsOf(pod).flatMap((claim) => claims.get(claim) ?? []);
  const isFenced = (volume: PersistentVolume | undefined): boolean =>
    fenced.has(volume?.spec?.csi?.volumeHandle ?? '');
  // An inline volume has no object that would tell which of px' volumes it is.
  const mayGo = (pod: WorkloadPod): boolean =>
    volumesOf(pod).every(isFenced) &&
    !(pod.spec?.volumes ?? []).some(({ csi }) => csi?.driver === driver);
  const held = new Set(
    pods
      .filter((pod) => !mayGo(pod))
      .flatMap(volumesOf)
      .map(({ metadata }) => metadata.name),
  );
  const byName = new Map([...claims.values()].map((volume) => [volume.metadata.name, volume]));
  return {
    doomed: pods.filter(mayGo),
    stale: attachments.filter(({ spec }) => {
      const name = spec?.source?.persistentVolumeName ?? '';
      return isFenced(byName.get(name)) && !held.has(name);
    }),
  };
}
