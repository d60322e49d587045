import { createServer } from 'node:http';
import { Gauge, Registry } from 'prom-client';
import type { AttachedVolumeStatus } from '../engine/api.js';
import type { NodeContext } from './context.js';
import { answerProbe, listenHttp, sendText, type ReadinessProbe } from './health-server.js';
import { ownStatus } from './node-status.js';
import { viewVolume } from './volume-view.js';

const statusCodes = { up: 1, degraded: 2, down: 3, creating: 4, deleting: 5 } as const;

/** The names that dashboards of this field use. */
function makeGauges(registry: Registry) {
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
  const volume = ['volumeid', 'volumename'] as const;
  const pool = ['pool', 'class', 'node'] as const;
  return {
    clusterNodes: gauge('px_cluster_status_nodes_online', 'Nodes that are up', []),
    clusterOffline: gauge('px_cluster_status_nodes_offline', 'Nodes that are down', []),
    clusterVolumes: gauge('px_cluster_volumes', 'Volumes by status', ['status'] as const),
    kvdbUp: gauge('px_cluster_kvdb_available', '1 while the key-value store answers', []),
    nodeUp: gauge('px_node_status_operational', '1 while this node is operational', []),
    nodeReplicas: gauge('px_node_replicas', 'Replicas on this node', []),
    nodeAttached: gauge('px_node_volumes_attached', 'Volumes attached on this node', []),
    nodeAlerts: gauge('px_node_alerts', 'Alerts of this node', ['severity'] as const),
    poolTotal: gauge('px_pool_stats_total_bytes', 'Size of the pool', pool),
    poolUsed: gauge('px_pool_stats_used_bytes', 'Used bytes of the pool', pool),
    poolAvailable: gauge('px_pool_stats_available_bytes', 'Free bytes of the pool', pool),
    poolProvisioned: gauge('px_pool_stats_provisioned_bytes', 'Promised bytes of the pool', pool),
    poolStatus: gauge('px_pool_stats_status', '1 while the pool is online', pool),
    volumeStatus: gauge('px_volume_status', '1 up, 2 degraded, 3 down, 4 creating', volume),
    volumeSize: gauge('px_volume_capacity_bytes', 'Size of the volume', volume),
    volumeUsed: gauge('px_volume_usage_bytes', 'Bytes that a replica uses', volume),
    volumeReplicas: gauge('px_volume_replicas_in_sync', 'Replicas that are in sync', volume),
    volumeReads: gauge('px_volume_num_reads', 'Reads since the attach', volume),
    volumeWrites: gauge('px_volume_num_writes', 'Writes since the attach', volume),
    volumeReadBytes: gauge('px_volume_read_bytes', 'Bytes read since the attach', volume),
    volumeWrittenBytes: gauge('px_volume_written_bytes', 'Bytes written since the attach', volume),
    volumeFlushes: gauge('px_volume_num_flushes', 'Flushes since the attach', volume),
    volumeInFlight: gauge('px_volume_iodepth', 'Requests in flight', volume),
    volumeResync: gauge('px_volume_resync_bytes_left', 'Bytes still to compare', volume),
  };
}

export interface MetricsServer {
  close(): void;
}

/** `/metrics` for Prometheus and the probes of a kubelet, on the start port. */
export async function startMetrics(
  context: NodeContext,
  notReady: ReadinessProbe,
  host: string,
  port: number,
): Promise<MetricsServer> {
  const registry = new Registry();
  const gauges = makeGauges(registry);
  const server = createServer((request, response) => {
    if (answerProbe(request, response, notReady)) return;
    if ((request.url ?? '').split('?')[0] === '/metrics') {
      collect(context, gauges)
        .then(() => registry.metrics())
        .then((text) => sendText(response, 200, text, registry.contentType))
        .catch((error: unknown) => sendText(response, 500, String(error)));
    } else sendText(response, 404, 'there are /metrics, /healthz and /readyz\n');
  });
  server.requestTimeout = 10_000;
  await listenHttp(server, host, port);
  return {
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

type Gauges = ReturnType<typeof makeGauges>;

async function collect(context: NodeContext, gauges: Gauges): Promise<void> {
  const status = await ownStatus(context);
  const state = context.view.cached();
  const online = [...state.nodes.keys()].filter((id) => state.alive.has(id)).length;
  gauges.clusterNodes.set(online);
  gauges.clusterOffline.set(state.nodes.size - online);
  gauges.kvdbUp.set(context.kvdb.status().available ? 1 : 0);
  gauges.nodeUp.set(status.state === 'operational' ? 1 : 0);
  gauges.nodeAlerts.reset();
  for (const alert of context.health.alerts()) {
    gauges.nodeAlerts.inc({ severity: alert.severity });
  }
  for (const pool of status.pools ?? []) {
    const labels = { pool: pool.id, class: pool.class, node: context.self.name };
    gauges.poolTotal.set(labels, Number(pool.total_bytes));
    gauges.poolUsed.set(labels, Number(pool.used_bytes));
    gauges.poolAvailable.set(labels, Number(pool.available_bytes));
    gauges.poolProvisioned.set(labels, Number(pool.provisioned_bytes));
    gauges.poolStatus.set(labels, pool.state === 'online' ? 1 : 0);
  }
  await collectVolumes(context, gauges);
}

/** Each volume is told by one node: where it is attached, else the holder of its first replica. */
async function collectVolumes(context: NodeContext, gauges: Gauges): Promise<void> {
  const state = context.view.cached();
  const volumes = await context.engine.call('volume.list', {}).catch(() => []);
  const replicas = [...state.volumes.values()].flatMap((record) => record.replicas);
  gauges.nodeReplicas.set(replicas.filter(({ nodeId }) => nodeId === context.self.id).length);
  gauges.nodeAttached.set(volumes.filter((volume) => volume.frontend !== 'none').length);
  gauges.clusterVolumes.reset();
  // A volume that moved or was deleted must not be reported for ever.
  for (const [name, gauge] of Object.entries(gauges)) if (name.startsWith('volume')) gauge.reset();
  for (const record of state.volumes.values()) {
    const attached = volumes.find((volume) => volume.volumeId === record.id);
    const viewed = viewVolume(record, state, attached);
    gauges.clusterVolumes.inc({ status: String(viewed.status) });
    const owner = record.attachedOn === '' ? record.replicas[0]?.nodeId : record.attachedOn;
    if (owner !== context.self.id) continue;
    const labels = { volumeid: record.id, volumename: record.name };
    const code = statusCodes[viewed.status as keyof typeof statusCodes];
    gauges.volumeStatus.set(labels, code);
    gauges.volumeSize.set(labels, record.sizeBytes);
    gauges.volumeUsed.set(labels, Number(viewed.used_bytes));
    const inSync = record.replicas.filter((replica) => replica.state === 'in_sync');
    gauges.volumeReplicas.set(labels, inSync.length);
    if (attached !== undefined) collectAttached(gauges, labels, attached);
  }
}

function collectAttached(
  gauges: Gauges,
  labels: { volumeid: string; volumename: string },
  { stats, replicas }: AttachedVolumeStatus,
): void {
  gauges.volumeReads.set(labels, stats.reads);
  gauges.volumeWrites.set(labels, stats.writes);
  gauges.volumeReadBytes.set(labels, stats.readBytes);
  gauges.volumeWrittenBytes.set(labels, stats.writeBytes);
  gauges.volumeFlushes.set(labels, stats.flushes);
  gauges.volumeInFlight.set(labels, stats.inFlight);
  const left = replicas.map((replica) => replica.resyncBytesTotal - replica.resyncBytesDone);
  gauges.volumeResync.set(labels, Math.max(0, ...left));
}
