import type { Command } from 'commander';
import { PxError } from '../../kernel/errors.js';
import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import { refuseCommands, type Actions } from '../action.js';
import { show } from '../context.js';
import { driveTable, nodeTable, poolStatusTable } from '../output/node-text.js';
import { addNodeRemoval } from './cluster-nodes.js';
import { formatFields } from '../output/table.js';

export function addCluster(program: Command, actions: Actions): void {
  const cluster = program.command('cluster').alias('c').description('the nodes of the cluster');

  const list = cluster.command('list').alias('l').description('every node, also those down');
  actions.on(list, async (context) => {
    const { nodes } = await context.px.ListNodes({});
    show(
      context,
      () => nodes,
      () => `Cluster ID: ${nodes[0]?.cluster_id ?? '-'}\n${nodeTable(nodes)}`,
    );
  });

  const inspect = cluster
    .command('inspect')
    .alias('i')
    .description('all that is known of nodes')
    .argument('[node...]', 'ids or names of nodes; all when none is given');
  actions.on(inspect, async (context, wanted) => {
    const { nodes } = await context.px.ListNodes({});
    const chosen = wanted.length === 0 ? nodes : wanted.map((name) => findNode(nodes, name));
    show(
      context,
      () => chosen,
      () => chosen.map(nodeText).join('\n\n'),
    );
  });

  addNodeRemoval(cluster, actions);

  refuseCommands(cluster, {
    'provisioning overview (see "pxctl status")': ['provision-status'],
    'cluster options': ['options'],
  });
}

function findNode(nodes: readonly NodeStatus__Output[], idOrName: string): NodeStatus__Output {
  const found = nodes.find((node) => node.id === idOrName || node.name === idOrName);
  if (found === undefined) throw new PxError('not_found', `there is no node "${idOrName}"`);
  return found;
}

function nodeText(node: NodeStatus__Output): string {
  const labels = Object.entries(node.labels).map(([name, value]) => `${name}=${value}`);
  const fields = formatFields([
    ['Name', node.name],
    ['Status', node.state],
    ...(node.decommission === '' ? [] : [['Being emptied', node.decommission] as const]),
    ['Reason', node.state_reason],
    ['Version', node.version],
    ['Management address', node.mgmt_address],
    ['Data address', node.data_address],
    ['Region', node.region],
    ['Zone', node.zone],
    ['Rack', node.rack],
    ['Labels', labels.join(',')],
  ]);
  return [
    `Node : ${node.id}`,
    fields,
    '\tPools:',
    poolStatusTable(node, '\t\t'),
    '\tDevices:',
    driveTable(node.drives, '\t\t'),
  ].join('\n');
}
