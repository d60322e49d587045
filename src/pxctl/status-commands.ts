import type { Command } from 'commander';
import { PxError } from '../kernel/errors.js';
import type { NodeStatus__Output } from '../gen/px/v1/NodeStatus.js';
import { printJson, type PxctlContext } from './context.js';
import { facts, showBytes, table } from './format.js';

/** A node that is not operational is told to scripts by the exit code too. */
const notOperational = new PxError('unavailable', 'this node is not operational');

export function addStatusCommands(program: Command, context: PxctlContext): void {
  program
    .command('status')
    .description('this node and the cluster in one look')
    .action(async () => {
      const node = await context.api().GetStatus({});
      const nodes = await clusterNodes(context);
      if (context.json()) printJson(context, { ...node, cluster_nodes: nodes });
      else context.print(statusText(node, nodes));
      if (node.state !== 'operational' && node.state !== 'maintenance') throw notOperational;
    });
  const cluster = program.command('cluster').alias('c').description('the cluster and its nodes');
  cluster
    .command('list')
    .alias('l')
    .description('list the nodes')
    .action(async () => {
      const { nodes } = await context.api().ListNodes({});
      if (context.json()) printJson(context, nodes);
      else context.print(nodeTable(nodes));
    });
  cluster
    .command('inspect <node>')
    .alias('i')
    .description('all about a node')
    .action(async (name: string) => {
      const { nodes } = await context.api().ListNodes({});
      const found = nodes.find((node) => node.id === name || node.name === name);
      if (found === undefined) {
        throw new PxError('not_found', `there is no node "${name}" in this cluster`);
      }
      if (context.json()) printJson(context, found);
      else context.print(`${nodeFacts(found)}\n${poolTable(found)}\n${driveTable(found)}`);
    });
  addServiceCommands(program, context);
}

function addServiceCommands(program: Command, context: PxctlContext): void {
  const service = program.command('service').alias('sv').description("this node's parts");
  const pool = service.command('pool').description('storage pools');
  pool
    .command('show')
    .description("this node's pools")
    .action(async () => {
      const node = await context.api().GetStatus({});
      if (context.json()) printJson(context, node.pools);
      else context.print(poolTable(node));
    });
  const drive = service.command('drive').description('drives');
  drive
    .command('show')
    .description("this node's drives")
    .action(async () => {
      const node = await context.api().GetStatus({});
      if (context.json()) printJson(context, node.drives);
      else context.print(driveTable(node));
    });
  const alerts = async (): Promise<void> => {
    const node = await context.api().GetStatus({});
    if (context.json()) return printJson(context, node.alerts);
    context.print(alertTable(node));
  };
  service.command('alerts').description("this node's alerts").action(alerts);
  program.command('alerts').description("this node's alerts").action(alerts);
}

/** Without a kvdb there may be no list; this node's own status still counts. */
async function clusterNodes(context: PxctlContext): Promise<NodeStatus__Output[]> {
  try {
    return (await context.api().ListNodes({})).nodes;
  } catch {
    return [];
  }
}

function statusText(node: NodeStatus__Output, nodes: readonly NodeStatus__Output[]): string {
  const headline =
    node.state === 'operational'
      ? 'Status: PX is operational'
      : `Status: PX is ${node.state}: ${node.state_reason}`;
  const pools = nodes.flatMap(({ pools: all }) => all);
  const total = pools.reduce((sum, pool) => sum + Number(pool.total_bytes), 0);
  const used = pools.reduce((sum, pool) => sum + Number(pool.used_bytes), 0);
  const up = nodes.filter(({ state }) => state !== 'offline').length;
  return [
    headline,
    nodeFacts(node),
    `\tLocal Storage Pools: ${node.pools.length}`,
    poolTable(node),
    `\tLocal Storage Devices: ${node.drives.length}`,
    driveTable(node),
    'Cluster Summary',
    facts([
      ['Cluster ID', node.cluster_id],
      ['Nodes', `${up} up of ${nodes.length}`],
    ]),
    nodeTable(nodes),
    'Global Storage Pool',
    facts([
      ['Total Used', showBytes(used)],
      ['Total Capacity', showBytes(total)],
    ]),
    ...(node.alerts.length === 0 ? [] : ['Alerts', alertTable(node)]),
  ].join('\n');
}

function nodeFacts(node: NodeStatus__Output): string {
  return facts([
    ['Node ID', node.id],
    ['Name', node.name],
    ['IP', node.mgmt_address],
    ['Data', node.data_address],
    ['Zone', node.zone],
    ['Region', node.region],
    ['Rack', node.rack],
    ['Version', node.version],
    ['State', node.state_reason === '' ? node.state : `${node.state}: ${node.state_reason}`],
  ]);
}

function nodeTable(nodes: readonly NodeStatus__Output[]): string {
  return table(
    ['IP', 'ID', 'NAME', 'USED', 'CAPACITY', 'STATUS', 'ZONE', 'REGION', 'VERSION'],
    nodes.map((node) => [
      node.mgmt_address,
      node.id,
      node.name,
      showBytes(node.pools.reduce((sum, pool) => sum + Number(pool.used_bytes), 0)),
      showBytes(node.pools.reduce((sum, pool) => sum + Number(pool.total_bytes), 0)),
      node.state,
      node.zone,
      node.region,
      node.version,
    ]),
    '\t',
  );
}

/** There is no RAID below a pool: its drives are used side by side. */
function poolTable(node: NodeStatus__Output): string {
  return table(
    [
      'POOL',
      'IO_PRIORITY',
      'RAID_LEVEL',
      'USABLE',
      'USED',
      'PROVISIONED',
      'STATUS',
      'ZONE',
      'REGION',
      'SNAPSHOTS',
    ],
    node.pools.map((pool) => [
      pool.id,
      pool.class.toUpperCase(),
      pool.kind === 'directory' ? 'directory' : 'none',
      showBytes(pool.total_bytes),
      showBytes(pool.used_bytes),
      showBytes(pool.provisioned_bytes),
      pool.state,
      node.zone,
      node.region,
      pool.snapshot_method,
    ]),
    '\t',
  );
}

function driveTable(node: NodeStatus__Output): string {
  return table(
    ['PATH', 'MEDIA', 'CLASS', 'SIZE', 'USED', 'READ', 'STATUS', 'POOL'],
    node.drives.map((drive) => [
      drive.path,
      drive.media,
      drive.class.toUpperCase(),
      showBytes(drive.size_bytes),
      showBytes(drive.used_bytes),
      `${showBytes(drive.read_bytes_per_second)}/s ${drive.read_iops} IOPS`,
      drive.reason === '' ? drive.state : `${drive.state}: ${drive.reason}`,
      drive.pool_id,
    ]),
    '\t',
  );
}

function alertTable(node: NodeStatus__Output): string {
  if (node.alerts.length === 0) return 'No alerts.';
  return table(
    ['SEVERITY', 'RESOURCE', 'SINCE', 'MESSAGE'],
    node.alerts.map((alert) => [alert.severity, alert.resource, alert.since, alert.message]),
    '\t',
  );
}
