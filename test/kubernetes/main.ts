import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { parseSizeBytes } from '../../tools/devcluster/devices.js';
import { findPrograms, whatIsMissing } from './build/find-programs.js';
import { cases } from './cases/index.js';
import {
  defaultOptions,
  KubernetesCluster,
  type ClusterOptions,
  type PartitionScope,
} from './cluster/cluster.js';
import type { Component } from './cluster/control-plane.js';
import { inNode } from './cluster/node.js';
import { initPid } from './cluster/processes.js';
import { buildImages, imageNames } from './images/build-images.js';
import { CaseRunner } from './runner/run-cases.js';

/** dist/test/kubernetes/main.js lies three levels below the repository. */
const rootDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const toolsDir = path.join(rootDir, 'test/kubernetes/tools');
const newestVersion = '1.35';
// One for each clone. Not below the repository, whose tools would walk through the nodes'
// file systems, and not in /tmp, which may be in memory.
const cloneName = createHash('sha256').update(rootDir).digest('hex').slice(0, 8);
const testDir = `/var/tmp/px-kubernetes-${cloneName}`;

// A shell that is not root's may lack what root needs.
process.env.PATH = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Archives of images by their names; what is not in the cache is built. */
async function imageArchives(names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  return (await buildImages({ rootDir, only: names, say })).map((image) => image.tar);
}

interface ClusterFlags {
  readonly dir: string;
  readonly kubernetes: string;
  readonly nodes: string;
  readonly disks: string;
  readonly diskSize: string;
}

async function clusterOptions(flags: ClusterFlags): Promise<ClusterOptions> {
  return {
    dir: flags.dir,
    nodes: Number(flags.nodes),
    disks: Number(flags.disks),
    diskSizeBytes: parseSizeBytes(flags.diskSize),
    programs: await findPrograms(flags.kubernetes, { toolsDir, say }),
    // The sandbox of every pod, and what a person tries a cluster with.
    images: await imageArchives(['pause', 'busybox']),
  };
}

/** Gives the terminal to a command, and its exit code to the caller. */
function handOver(words: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  const [command = '', ...args] = words;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...env } });
    child.on('error', reject);
    child.on('close', (code) => {
      process.exitCode = code ?? 1;
      resolve();
    });
  });
}

const program = new Command('kubernetes')
  .description('A real Kubernetes on this machine, for the tests')
  .enablePositionalOptions();

/** A command on the cluster of `--dir`. */
function onCluster(
  usage: string,
  text: string,
  act: (cluster: KubernetesCluster, args: string[]) => Promise<void>,
): Command {
  return program
    .command(usage)
    .description(text)
    .requiredOption('--dir <dir>', 'the directory given to "up"')
    .passThroughOptions()
    .action(async (...parameters: unknown[]) => {
      const command = parameters.at(-1) as Command;
      const { dir } = command.opts<{ dir: string }>();
      await act(await KubernetesCluster.open(dir), command.args);
    });
}

const printJson = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
};

/** The options that shape a new cluster. */
function shaping(command: Command): Command {
  return command
    .option('--kubernetes <version>', 'a version of test/kubernetes/tools', newestVersion)
    .option('--nodes <n>', 'number of nodes, in three zones', String(defaultOptions.nodes))
    .option('--disks <n>', 'disks a node', String(defaultOptions.disks))
    .option('--disk-size <size>', 'of each disk; the files are sparse', '8G');
}

shaping(program.command('up'))
  .description('bring a cluster up, in place of what was left of one')
  .requiredOption('--dir <dir>', 'where everything of the cluster lies')
  .option('--images <names>', 'of test/kubernetes/images, with commas; "all" for every one')
  .action(async (flags: ClusterFlags & { images?: string }) => {
    const cluster = await KubernetesCluster.start(await clusterOptions(flags));
    const names = flags.images === 'all' ? imageNames : (flags.images?.split(',') ?? []);
    for (const archive of await imageArchives(names)) await cluster.loadImage(archive);
    printJson(await cluster.status());
  });

shaping(program.command('test'))
  .description('run the cases on a cluster of their own, and take it down')
  .option('--dir <dir>', 'where the cluster lies', testDir)
  .option('--only <names>', 'cases, with commas')
  .option('--keep', 'leave the cluster as the last case, or the first that fails, left it')
  .action(async (flags: ClusterFlags & { only?: string; keep?: boolean }) => {
    const only = flags.only?.split(',');
    const unknown = only?.filter((name) => !cases.some((test) => test.name === name)) ?? [];
    if (unknown.length > 0) {
      throw new Error(`no case ${unknown.join(', ')}: ${cases.map((c) => c.name).join(', ')}`);
    }
    const interrupted = new AbortController();
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => interrupted.abort());
    }
    const runner = new CaseRunner({
      rootDir,
      cases: cases.filter((test) => only?.includes(test.name) ?? true),
      cluster: await clusterOptions(flags),
      keep: flags.keep === true,
      imageArchives,
      say: (text) => process.stdout.write(`${text}\n`),
      signal: interrupted.signal,
    });
    const { passed, failed, skipped } = await runner.run();
    process.stdout.write(`\nTests: ${passed} passed, ${failed} failed, ${skipped} skipped\n`);
    // A case that ran out of time may still hold the process.
    process.exit(failed === 0 && passed > 0 ? 0 : 1);
  });

program
  .command('down')
  .description('end everything and leave nothing behind')
  .requiredOption('--dir <dir>', 'the directory given to "up"')
  .action(async ({ dir }: { dir: string }) => {
    const cluster = await KubernetesCluster.open(dir).catch(() => undefined);
    if (cluster === undefined) await KubernetesCluster.remove(dir);
    else await cluster.stop();
  });

program
  .command('build')
  .description('build every Go program of the tests that is not in the cache')
  .option('--kubernetes <version>', 'a version of test/kubernetes/tools', newestVersion)
  .action(async (flags: { kubernetes: string }) => {
    printJson(await findPrograms(flags.kubernetes, { toolsDir, say }));
  });

program
  .command('missing')
  .description('print why no cluster can be had on this machine; nothing where it can')
  .option('--kubernetes <version>', 'a version of test/kubernetes/tools', newestVersion)
  .action(async (flags: { kubernetes: string }) => {
    const missing = await whatIsMissing(flags.kubernetes, toolsDir);
    if (missing !== undefined) process.stdout.write(`${missing}\n`);
  });

onCluster('status', 'print what runs, as JSON', async (cluster) => {
  printJson({ ...(await cluster.status()), changedSettings: await cluster.changedSettings() });
});

onCluster('kubectl [args...]', 'run kubectl as administrator', (cluster, args) =>
  handOver([...cluster.hubCommand(), 'kubectl', ...args], cluster.clientEnvironment()),
);
onCluster('helm [args...]', 'run helm as administrator', (cluster, args) =>
  handOver([...cluster.hubCommand(), 'helm', ...args], cluster.clientEnvironment()),
);
onCluster(
  'exec [args...]',
  'run a command beside the API server, with KUBECONFIG',
  (cluster, args) => handOver([...cluster.hubCommand(), ...args], cluster.clientEnvironment()),
);
onCluster('node-exec <node> [args...]', 'run a command on a node', async (cluster, args) => {
  const [name = '', ...words] = args;
  const init = await initPid(cluster.layout, cluster.node(name).name);
  if (init === undefined) throw new Error(`${name} is off`);
  await handOver([...inNode(init), ...words], {
    CONTAINERD_ADDRESS: '/run/containerd/containerd.sock',
    CONTAINERD_NAMESPACE: 'k8s.io',
  });
});
onCluster('kill-node <node>', "take a node's power", (cluster, [name = '']) =>
  cluster.killNode(name),
);
onCluster('restart-node <node>', 'switch a node off and on', (cluster, [name = '']) =>
  cluster.restartNode(name),
);
onCluster('restart-component <component>', 'kill -9 and start anew', (cluster, [name = '']) =>
  cluster.restartControlPlane(name as Component),
);
onCluster('partition <node> [scope]', 'cut off: all, api or peers', (cluster, [name = '', scope]) =>
  cluster.partition(name, (scope ?? 'all') as PartitionScope),
);
onCluster('heal <node>', 'end every partition of a node', (cluster, [name = '']) =>
  cluster.heal(name),
);
onCluster('load-images <images...>', 'load archives or test images', async (cluster, images) => {
  const names = images.filter((image) => imageNames.includes(image));
  const files = images.filter((image) => !imageNames.includes(image));
  for (const file of [...files, ...(await imageArchives(names))]) await cluster.loadImage(file);
});

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`kubernetes: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
