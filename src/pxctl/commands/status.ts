import type { Command } from 'commander';
import { toPxError } from '../../kernel/errors.js';
import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import type { Actions } from '../action.js';
import { show } from '../context.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';
import { addressOnly, driveTable, nodeTable, poolStatusTable, sum } from '../output/node-text.js';
import { formatTable } from '../output/table.js';
import { formatBytes } from '../sizes.js';

/** What the others say; the reason when nobody can say it (the key-value store is away). */
interface ClusterPart {
  readonly nodes: readonly NodeStatus__Output[];
  readonly problem: string;
}

const workingStates = ['operational', 'degraded', 'maintenance'];

export function addStatus(program: Command, actions: Actions): void {
  const command = program.command('status').description('this node, its pools, and the cluster');
  actions.on(command, async (context) => {
    const node = await context.px.GetStatus({});
    const cluster = await context.px.ListNodes({}).then(
      ({ nodes }) => ({ nodes, problem: '' }),
      (thrown: unknown) => ({ nodes: [], problem: toPxError(thrown).message }),
    );
    show(
      context,
      () => statusJson(node, cluster),
      () => statusText(node, cluster),
    );
    return statusExitCode(node.state);
  });
}

/** A node that answers but can't do its work is for scripts the same as one that is away. */
export function statusExitCode(state: string): ExitCode {
  return workingStates.includes(state) ? exitCodes.ok : exitCodes.unavailable;
}

function statusJson(node: NodeStatus__Output, cluster: ClusterPart): unknown {
  const pools = cluster.nodes.flatMap((member) => member.pools);
  return {
    status: node.state,
    status_reason: node.state_reason,
    node,
    cluster: { id: node.cluster_id, nodes: cluster.nodes, problem: cluster.problem },
    global: {
      total_bytes: String(sum(pools, 'total_bytes')),
      used_bytes: String(sum(pools, 'used_bytes')),
      available_bytes: String(sum(pools, 'available_bytes')),
      provisioned_bytes: String(sum(pools, 'provisioned_bytes')),
    },
  };
}

function statusText(node: NodeStatus__Output, cluster: ClusterPart): string {
  const reason = node.state_reason === '' ? '' : `: ${node.state_reason}`;
  const lines = [
    `Status: PX is ${node.state.replace(/_/g, ' ')}${reason}`,
    `Node ID: ${node.id}`,
    `\tName: ${node.name}`,
    `\tIP: ${addressOnly(node.mgmt_address)}`,
    `\tVersion: ${node.version}`,
    ...alertLines(node),
    `\tLocal Storage Pool: ${count(node.pools.length, 'pool')}`,
    ...(node.pools.length === 0 ? [] : [poolStatusTable(node, '\t')]),
    `\tLocal Storage Devices: ${count(node.drives.length, 'device')}`,
    ...(node.drives.length === 0 ? [] : [driveTable(node.drives, '\t')]),
    'Cluster Summary',
    `\tCluster ID: ${node.cluster_id}`,
  ];
  return [...lines, ...clusterLines(cluster)].join('\n');
}

function alertLines(node: NodeStatus__Output): string[] {
  if (node.alerts.length === 0) return [];
  const rows = node.alerts.map((alert) => [
    alert.severity,
    alert.resource,
    alert.since,
    alert.message,
  ]);
  return [
    `\tAlerts: ${node.alerts.length}`,
    formatTable(['SEVERITY', 'RESOURCE', 'SINCE', 'MESSAGE'], rows, '\t'),
  ];
}

function clusterLines({ nodes, problem }: ClusterPart): string[] {
  if (problem !== '') return [`\tNot known: ${problem}`];
  const pools = nodes.flatMap((member) => member.pools);
  const working = nodes.filter((member) => member.state === 'operational').length;
  return [
    `\tNodes: ${count(nodes.length, 'node')}, ${working} operational`,
    nodeTable(nodes, '\t'),
    'Global Storage Pool',
    `\tTotal Used     : ${formatBytes(sum(pools, 'used_bytes'))}`,
    `\tTotal Capacity : ${formatBytes(sum(pools, 'total_bytes'))}`,
    `\tProvisioned    : ${formatBytes(sum(pools, 'provisioned_bytes'))}`,
  ];
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
