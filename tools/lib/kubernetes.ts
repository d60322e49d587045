import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { VolumeCapability } from '../../src/gen/csi/v1/VolumeCapability.js';
import type { DevCluster } from '../devcluster/cluster.js';
import { waitFor } from './wait.js';

/**
 * The calls that Kubernetes makes of a CSI driver, in its order: the sidecars
 * on the controller, the kubelet on the node. `controllerOn` is the node whose
 * px-csi plays the controller.
 */
export interface VolumeClaim {
  readonly name: string;
  readonly sizeBytes: number;
  /** Of the StorageClass. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly fsType: string;
  readonly fromVolumeId?: string;
  readonly fromSnapshotId?: string;
}

export interface PublishedVolume {
  readonly volumeId: string;
  readonly node: string;
  readonly stagingPath: string;
  /** What the pod sees. */
  readonly targetPath: string;
}

export function capability(fsType: string): VolumeCapability {
  const access_mode = { mode: 'SINGLE_NODE_WRITER' as const };
  return fsType === '' ? { block: {}, access_mode } : { mount: { fs_type: fsType }, access_mode };
}

export class Kubernetes {
  private readonly cluster: DevCluster;
  controllerOn: string;

  constructor(cluster: DevCluster, controllerOn: string) {
    this.cluster = cluster;
    this.controllerOn = controllerOn;
  }

  private get controller() {
    return this.cluster.csi(this.controllerOn).controller;
  }

  async createVolume(claim: VolumeClaim): Promise<string> {
    const { fromVolumeId, fromSnapshotId } = claim;
    const answer = await this.controller.CreateVolume({
      name: claim.name,
      capacity_range: { required_bytes: String(claim.sizeBytes) },
      volume_capabilities: [capability(claim.fsType)],
      parameters: { ...claim.parameters },
      ...(fromVolumeId === undefined
        ? {}
        : { volume_content_source: { volume: { volume_id: fromVolumeId } } }),
      ...(fromSnapshotId === undefined
        ? {}
        : { volume_content_source: { snapshot: { snapshot_id: fromSnapshotId } } }),
    });
    const id = answer.volume?.volume_id ?? '';
    if (id === '') throw new Error('CreateVolume answered without a volume');
    return id;
  }

  async csiNodeId(node: string): Promise<string> {
    return (await this.cluster.csi(node).node.NodeGetInfo({})).node_id;
  }

  /** ControllerPublish, NodeStage, NodePublish: what happens when a pod starts. */
  async mount(volumeId: string, node: string, fsType: string): Promise<PublishedVolume> {
    const csi = this.cluster.csi(node);
    const volume_capability = capability(fsType);
    const nodeId = await this.csiNodeId(node);
    const published = await this.controller.ControllerPublishVolume({
      volume_id: volumeId,
      node_id: nodeId,
      volume_capability,
    });
    const { kubeletDir } = this.cluster.node(node);
    const stagingPath = path.join(kubeletDir, 'staging', volumeId);
    const podDir = path.join(kubeletDir, 'pods', volumeId);
    const targetPath = path.join(podDir, 'mount');
    // The kubelet makes the staging directory; the target's parent only.
    await mkdir(stagingPath, { recursive: true });
    await mkdir(podDir, { recursive: true });
    const publish_context = published.publish_context;
    const common = { volume_id: volumeId, publish_context, volume_capability };
    await csi.node.NodeStageVolume({ ...common, staging_target_path: stagingPath });
    await csi.node.NodePublishVolume({
      ...common,
      staging_target_path: stagingPath,
      target_path: targetPath,
    });
    return { volumeId, node, stagingPath, targetPath };
  }

  async unmount(published: PublishedVolume): Promise<void> {
    const { volumeId, node, stagingPath, targetPath } = published;
    const csi = this.cluster.csi(node);
    await csi.node.NodeUnpublishVolume({ volume_id: volumeId, target_path: targetPath });
    await csi.node.NodeUnstageVolume({ volume_id: volumeId, staging_target_path: stagingPath });
    await this.detach(volumeId, node);
  }

  /** ControllerUnpublish: all that Kubernetes can do for a node that is dead. */
  async detach(volumeId: string, node: string): Promise<void> {
    await this.controller.ControllerUnpublishVolume({
      volume_id: volumeId,
      node_id: this.cluster.id(node),
    });
  }

  async createSnapshot(volumeId: string, name: string): Promise<string> {
    const answer = await this.controller.CreateSnapshot({ source_volume_id: volumeId, name });
    const id = answer.snapshot?.snapshot_id ?? '';
    if (id === '') throw new Error('CreateSnapshot answered without a snapshot');
    return id;
  }

  async expand(published: PublishedVolume, sizeBytes: number, fsType: string): Promise<void> {
    const capacity_range = { required_bytes: String(sizeBytes) };
    const volume_capability = capability(fsType);
    const { volumeId, node, stagingPath, targetPath } = published;
    const answer = await this.controller.ControllerExpandVolume({
      volume_id: volumeId,
      capacity_range,
      volume_capability,
    });
    if (!answer.node_expansion_required) return;
    await this.cluster.csi(node).node.NodeExpandVolume({
      volume_id: volumeId,
      volume_path: targetPath,
      staging_target_path: stagingPath,
      capacity_range,
      volume_capability,
    });
  }
}

/** Waits until all the replicas of a volume are in sync. */
export async function waitInSync(
  cluster: DevCluster,
  via: string,
  volumeId: string,
  replicas: number,
  timeoutMs: number,
  onProgress?: (text: string) => void,
): Promise<void> {
  let told = '';
  await waitFor(`${replicas} in-sync replicas of ${volumeId}`, timeoutMs, async () => {
    const volume = await cluster.api(via).GetVolume({ id_or_name: volumeId });
    const states = volume.replicas.map((replica) => {
      const { resync_bytes_done: done, resync_bytes_total: total } = replica;
      const progress = replica.state === 'resync' ? ` ${done}/${total}` : '';
      return `${replica.node_name} ${replica.state}${progress}`;
    });
    const text = [...states, volume.status_reason].filter(Boolean).join(', ');
    if (text !== told) onProgress?.(text);
    told = text;
    const inSync = volume.replicas.filter((replica) => replica.state === 'in_sync').length;
    if (inSync === replicas) return true;
    throw new Error(text);
  });
}

/** Compares the replicas byte for byte (by hash); throws where they differ. */
export async function checkEqual(
  cluster: DevCluster,
  via: string,
  volumeId: string,
  replicas: number,
): Promise<{ bytes: number }> {
  const answer = await cluster
    .api(via)
    .CheckVolume({ id_or_name: volumeId }, { timeoutMs: 300_000 });
  if (!answer.equal) {
    throw new Error(`replicas differ: ${JSON.stringify(answer.differences.slice(0, 5))}`);
  }
  if (answer.replicas_compared.length !== replicas) {
    throw new Error(`only ${answer.replicas_compared.length} of ${replicas} replicas compared`);
  }
  return { bytes: Number(answer.bytes_compared) };
}
