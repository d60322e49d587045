import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import {
  defaultOptions,
  downCluster,
  clusterLeftovers,
  openCluster,
  upCluster,
  type DevCluster,
} from './cluster.js';
import { parseSizeBytes } from './devices.js';

/** dist/tools/devcluster/main.js lies three levels below the repository. */
const rootDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

interface UpFlags {
  readonly dir: string;
  readonly nodes: string;
  readonly zones: string;
  readonly devices: string;
  readonly deviceSize: string;
  readonly frontend: 'fuse' | 'nbd';
  readonly userSpace?: boolean;
}

async function print(cluster: DevCluster): Promise<void> {
  const { dir, clusterId, etcdUrl } = cluster.layout;
  const shown = { dir, clusterId, etcd: etcdUrl, nodes: await cluster.info() };
  process.stdout.write(`${JSON.stringify(shown, null, 2)}\n`);
}

async function up(flags: UpFlags): Promise<void> {
  const userSpace = flags.userSpace === true || process.getuid?.() !== 0;
  if (userSpace && flags.userSpace !== true) {
    process.stderr.write('not root: no network namespaces and loop devices, user space only\n');
  }
  const cluster = await upCluster({
    rootDir,
    dir: flags.dir,
    nodes: Number(flags.nodes),
    zones: Number(flags.zones),
    devices: Number(flags.devices),
    deviceSizeBytes: parseSizeBytes(flags.deviceSize),
    frontend: userSpace ? 'nbd' : flags.frontend,
    userSpace,
  });
  await print(cluster);
  cluster.closeClients();
}

const program = new Command('devcluster').description('A real px cluster on one machine');

program
  .command('up')
  .requiredOption('--dir <dir>', 'where everything of the cluster lies')
  .option('--nodes <n>', 'number of nodes', String(defaultOptions.nodes))
  .option('--zones <n>', 'number of zones', String(defaultOptions.zones))
  .option('--devices <n>', 'devices a node', String(defaultOptions.devices))
  .option('--device-size <size>', 'size of a device', '4G')
  .option('--frontend <kind>', 'fuse or nbd', 'fuse')
  .option('--user-space', 'directory pools, loopback addresses, NBD: needs no root')
  .action(up);

/** A command on the running cluster of `--dir`. */
function onCluster(
  name: string,
  text: string,
  act: (c: DevCluster, node: string) => Promise<void>,
): void {
  program
    .command(name)
    .description(text)
    .requiredOption('--dir <dir>', 'the directory given to "up"')
    .action(async (...parameters: unknown[]) => {
      const command = parameters.at(-1) as Command;
      const cluster = await openCluster(command.opts<{ dir: string }>().dir);
      try {
        await act(cluster, command.args[0] ?? '');
      } finally {
        cluster.closeClients();
      }
    });
}

onCluster('status', 'print the cluster as JSON', (cluster) => print(cluster));
onCluster('kill <node>', 'kill -9 of all of a node', (cluster, node) => cluster.killNode(node));
onCluster('stop <node>', 'an orderly shutdown of a node', (cluster, node) =>
  cluster.stopNode(node),
);
onCluster('start <node>', 'start a node again', (cluster, node) => cluster.startNode(node));
onCluster('heal', 'end every partition', (cluster) => cluster.heal());

program
  .command('partition <node>')
  .description('cut a node off')
  .requiredOption('--dir <dir>', 'the directory given to "up"')
  .option(
    '--direction <which>',
    'both, or only what goes "out" to or comes "in" from other nodes',
    'both',
  )
  .action(async (node: string, flags: { dir: string; direction: 'both' | 'out' | 'in' }) => {
    await (await openCluster(flags.dir)).partition(node, flags.direction);
  });

program
  .command('down')
  .description('end everything and leave nothing behind')
  .requiredOption('--dir <dir>', 'the directory given to "up"')
  .action(async (flags: { dir: string }) => {
    await downCluster(flags.dir);
    const left = await clusterLeftovers(flags.dir);
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  });

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`devcluster: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
