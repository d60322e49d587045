import { createHash } from 'node:crypto';
import path from 'node:path';
import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import type { Attachment, Observed, Pod } from './observed.js';
import { listVolumes } from './volumes.js';

/** A volume that a pod has mounted. */
export interface VolumeUse {
  readonly podUid: string;
  readonly node: string;
  readonly persistentVolume: string;
  readonly volumeId: string;
}

/** What there has to be, as users have it in use; all else is left from something that ended. */
export interface Accounted {
  readonly persistentVolumes: ReadonlySet<string>;
  readonly snapshotContents: ReadonlySet<string>;
  /** Volumes and snapshots of px. */
  readonly volumeIds: ReadonlySet<string>;
  readonly uses: readonly VolumeUse[];
}

const nothing: Accounted = {
  persistentVolumes: new Set(),
  snapshotContents: new Set(),
  volumeIds: new Set(),
  uses: [],
};

/** Of claims, snapshots and pods that are there and ready. */
export function accountFor(observed: Observed): Accounted {
  const volumes = observed
    .all('PersistentVolumeClaim')
    .map(({ metadata }) => observed.volumeOf(metadata.name))
    .filter((volume) => volume !== undefined);
  const contents = observed
    .all('VolumeSnapshot')
    .map(({ metadata }) => observed.contentOf(metadata.name))
    .filter((content) => content !== undefined);
  return {
    persistentVolumes: new Set(volumes.map(({ metadata }) => metadata.name)),
    snapshotContents: new Set(contents.map(({ metadata }) => metadata.name)),
    volumeIds: new Set([
      ...volumes.map(({ spec }) => spec.csi?.volumeHandle ?? ''),
      ...contents.map(({ status }) => status?.snapshotHandle ?? ''),
    ]),
    uses: observed.all('Pod').flatMap((pod) => usesOf(pod, observed)),
  };
}

function usesOf(pod: Pod, observed: Observed): VolumeUse[] {
  const claims = (pod.spec.volumes ?? []).map((each) => each.persistentVolumeClaim?.claimName);
  const volumes = claims
    .map((name) => (name === undefined ? undefined : observed.volumeOf(name)))
    .filter((volume) => volume !== undefined);
  return volumes.map(({ metadata, spec }) => ({
    podUid: pod.metadata.uid,
    node: pod.spec.nodeName ?? '',
    persistentVolume: metadata.name,
    volumeId: spec.csi?.volumeHandle ?? '',
  }));
}

interface Named {
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

/** Everything of px's that can be left, whatever its kind, as a text that a person can look for. */
async function findLeftovers(
  cluster: KubernetesCluster,
  accounted: Accounted,
  everSeen: Set<string>,
): Promise<string[]> {
  const volumes = await listVolumes(cluster, ['--all']);
  for (const { id } of volumes) everSeen.add(id);
  const left = volumes
    .filter(({ id }) => !accounted.volumeIds.has(id))
    .map(({ id, locator }) => `volume ${locator.name} (${id})`);
  left.push(...(await objectsLeft(cluster, accounted)));
  for (const { name } of cluster.nodes) {
    const found = await nodeLeft(cluster, name, accounted, everSeen);
    left.push(...found.map((what) => `${what} on ${name}`));
  }
  return left;
}

async function objectsLeft(cluster: KubernetesCluster, accounted: Accounted): Promise<string[]> {
  const { persistentVolumes, snapshotContents, uses } = accounted;
  const attachments = new Set(uses.map((use) => `${use.persistentVolume} ${use.node}`));
  const listed = await cluster.get<{ items: readonly Named[] }>([
    'persistentvolumes,volumeattachments,volumesnapshotcontents',
  ]);
  const isAccounted = (object: Named): boolean => {
    const { name } = object.metadata;
    if (object.kind === 'PersistentVolume') return persistentVolumes.has(name);
    if (object.kind === 'VolumeSnapshotContent') return snapshotContents.has(name);
    const { spec } = object as Attachment;
    return attachments.has(`${spec.source.persistentVolumeName} ${spec.nodeName}`);
  };
  return listed.items
    .filter((object) => !isAccounted(object))
    .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
}

/** The directories of the kubelet, the kernel's tables, and the pools' files, each under a word. */
const nodeScript = `
sed 's/^/mount /' /proc/mounts
find /var/lib/kubelet/plugins/kubernetes.io/csi/pxd.portworx.com -mindepth 1 -maxdepth 1 \
  -printf 'staged %p\\n' 2>/dev/null
cd /var/lib/kubelet/plugins/kubernetes.io/csi/volumeDevices 2>/dev/null && {
  find . -mindepth 1 -maxdepth 1 ! -name staging ! -name publish -printf 'device %p\\n'
  find staging publish -mindepth 1 -maxdepth 1 -printf 'device %p\\n' 2>/dev/null
}
find /var/lib/kubelet/pods -mindepth 4 -maxdepth 4 -path '*/kubernetes.io~csi/*' \
  -printf 'published %p\\n' 2>/dev/null
for file in /sys/block/loop*/loop/backing_file; do
  sed 's/^/loop /' "$file" 2>/dev/null
done
find /var/lib/px/devices -mindepth 1 -maxdepth 4 \\( -path '*/replicas/*' -o -path '*/trash/*' \\) \
  -prune -printf 'replica %p\\n' 2>/dev/null
find /run/px/volumes -mindepth 1 -printf 'served %p\\n' 2>/dev/null
true`;

async function nodeLeft(
  cluster: KubernetesCluster,
  node: string,
  accounted: Accounted,
  everSeen: ReadonlySet<string>,
): Promise<string[]> {
  const uses = accounted.uses.filter((use) => use.node === node);
  const attached = new Set(uses.map(({ volumeId }) => volumeId));
  const staged = new Set([...attached].map(stagingName));
  const devices = new Set(uses.map(({ persistentVolume }) => persistentVolume));
  const published = new Set(uses.map((use) => `${use.podUid} ${use.persistentVolume}`));
  const isLeft = (word: string, where: string): boolean => {
    const parts = where.split('/');
    switch (word) {
      case 'staged':
        return !staged.has(path.basename(where));
      case 'device':
        return !devices.has(path.basename(where));
      case 'published':
        return !published.has(`${parts[5]} ${parts[8]}`);
      case 'served':
        return !attached.has(path.basename(where));
      case 'loop': {
        // The kernel lists those of every cluster of the machine.
        const id = path.basename(where);
        return everSeen.has(id) && !accounted.uses.some(({ volumeId }) => volumeId === id);
      }
      default:
        return !accounted.volumeIds.has(path.basename(where));
    }
  };
  const lines = (await cluster.nodeExec(node, ['sh', '-c', nodeScript])).trim().split('\n');
  return lines.filter((line) => {
    const [word = '', first = '', second = ''] = line.split(' ');
    if (word !== 'mount') return isLeft(word, first);
    if (first.startsWith('px:')) return !attached.has(first.slice('px:'.length));
    if (second.includes('/volumes/kubernetes.io~csi/')) return isLeft('published', second);
    const bind = /\/csi\/volumeDevices\/(?:publish\/)?([^/]+)\/(?:dev\/)?([^/]+)$/.exec(second);
    if (bind !== null) return !published.has(`${bind[2] ?? ''} ${bind[1] ?? ''}`);
    return second.includes('/csi/pxd.portworx.com/') && isLeft('staged', path.dirname(second));
  });
}

/** The kubelet's directory for a volume; source: makeDeviceMountPath in Kubernetes' csi_attacher.go. */
function stagingName(volumeId: string): string {
  return createHash('sha256').update(volumeId).digest('hex');
}

/** Looks for what is left, and knows later what it has seen earlier. */
export class LeakCheck {
  private readonly everSeen = new Set<string>();

  constructor(private readonly cluster: KubernetesCluster) {}

  /** Only what is accounted for is there, within a time: deletions take their turns. */
  async wait(timeoutMs: number, accounted: Accounted = nothing): Promise<void> {
    for (const id of accounted.volumeIds) this.everSeen.add(id);
    let left: string[] = [];
    await waitFor('end of what is not in use', timeoutMs, async () => {
      left = await findLeftovers(this.cluster, accounted, this.everSeen);
      return left.length === 0 ? true : undefined;
    }).catch((error: unknown) => {
      throw new Error(`left behind: ${left.slice(0, 10).join('; ')}`, { cause: error });
    });
  }
}

/** Everything that users made is gone, within a time. */
export function waitNothingLeft(cluster: KubernetesCluster, timeoutMs: number): Promise<void> {
  return new LeakCheck(cluster).wait(timeoutMs);
}
