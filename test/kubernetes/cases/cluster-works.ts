import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { diskPath } from '../cluster/layout.js';
import { check } from '../runner/check.js';
import type { CaseHelpers, KubernetesCase } from '../runner/types.js';

const image = 'docker.io/library/busybox:1.37';
const rolloutTimeoutMs = 90_000;

function daemonSet(name: string, namespace: string, spec: object, container: object): object {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [{ name, image, imagePullPolicy: 'IfNotPresent', ...container }],
          ...spec,
        },
      },
    },
  };
}

/** Serves the name of its node. */
function webServer(namespace: string): object {
  const script = 'mkdir /www; echo "$NODE" > /www/index.html; echo serving; exec httpd -f -h /www';
  return daemonSet(
    'web',
    namespace,
    {},
    {
      command: ['sh', '-c', script],
      env: [{ name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
      readinessProbe: { httpGet: { path: '/', port: 80 }, periodSeconds: 1 },
    },
  );
}

/** What px-node is to Kubernetes: privileged, in the node's namespaces, mounting for others. */
function agent(namespace: string): object {
  return daemonSet(
    'agent',
    namespace,
    {
      hostPID: true,
      hostNetwork: true,
      volumes: [
        { name: 'lib', hostPath: { path: '/var/lib/agent', type: 'DirectoryOrCreate' } },
        { name: 'dev', hostPath: { path: '/dev' } },
      ],
    },
    {
      command: [
        'sh',
        '-c',
        'mkdir -p /var/lib/agent/m && mount -t tmpfs px-works /var/lib/agent/m && sleep 86400',
      ],
      securityContext: { privileged: true },
      volumeMounts: [
        { name: 'lib', mountPath: '/var/lib/agent', mountPropagation: 'Bidirectional' },
        { name: 'dev', mountPath: '/dev' },
      ],
    },
  );
}

async function podOn(
  cluster: KubernetesCluster,
  { namespace }: CaseHelpers,
  app: string,
  node: string,
): Promise<string> {
  const name = await cluster.kubectl([
    ...['get', 'pods', '-n', namespace, '-l', `app=${app}`],
    ...['--field-selector', `spec.nodeName=${node}`, '-o', 'name'],
  ]);
  return name.trim();
}

/** Asks the service by its name, from a pod on one node, until each node's pod has answered. */
async function checkService(cluster: KubernetesCluster, helpers: CaseHelpers): Promise<void> {
  const { namespace } = helpers;
  const from = await podOn(cluster, helpers, 'web', 'node-1');
  const seen = new Set<string>();
  await waitFor('answer of the service from every node', 60_000, async () => {
    // Without -T: with it, Debian's static busybox crashes on a name.
    const ask = `wget -qO- http://web.${namespace}.svc.cluster.local`;
    const words = ['exec', '-n', namespace, from, '--', 'sh', '-c', ask];
    seen.add((await cluster.kubectl(words, { timeoutMs: 15_000 })).trim());
    return seen.size === cluster.nodes.length ? true : undefined;
  });
  const logs = await cluster.kubectl(['logs', '-n', namespace, from]);
  check(logs.includes('serving'), `the pod's log says "${logs.trim()}"`);
}

async function checkAgent(
  cluster: KubernetesCluster,
  helpers: CaseHelpers,
  node: string,
): Promise<void> {
  const { namespace } = helpers;
  const mounts = await cluster.nodeExec(node, ['cat', '/proc/mounts']);
  check(mounts.includes('px-works /var/lib/agent/m'), `the agent's mount did not reach ${node}`);
  const pod = await podOn(cluster, helpers, 'agent', node);
  const disk = diskPath(1);
  const inPod = async (script: string): Promise<string> =>
    (await cluster.kubectl(['exec', '-n', namespace, pod, '--', 'sh', '-c', script])).trim();
  check((await inPod('nsenter -t 1 -m -u hostname')) === node, `PID 1 is not the init of ${node}`);
  const bytes = await inPod(`blockdev --getsize64 ${disk}`);
  check(Number(bytes) === cluster.options.diskSizeBytes, `${disk} has ${bytes} bytes in the pod`);
  await inPod(`echo "I am ${node}" | dd of=${disk} bs=512 count=1 conv=sync,fsync`);
}

async function bootId(cluster: KubernetesCluster, node: string): Promise<string> {
  const path = 'jsonpath={.status.nodeInfo.bootID}';
  return cluster.kubectl(['get', 'node', node, '-o', path]);
}

async function loseAndRegain(cluster: KubernetesCluster, helpers: CaseHelpers): Promise<void> {
  const { step } = helpers;
  const victim = cluster.nodes.at(-1)?.name ?? '';
  const before = await bootId(cluster, victim);
  await step('a killed node is not ready', async () => {
    await cluster.killNode(victim);
    await cluster.waitFor(`node/${victim}`, 'condition=Ready=Unknown', 120_000);
  });
  await step('it is back, with its disks and another boot id', async () => {
    await cluster.restartNode(victim);
    await waitFor('new boot id', 60_000, async () =>
      (await bootId(cluster, victim)) === before ? undefined : true,
    );
    await cluster.waitNodesReady();
    const written = await cluster.nodeExec(victim, ['head', '-n', '1', diskPath(1)]);
    check(written.trim() === `I am ${victim}`, `its disk begins with "${written}"`);
  });
}

/** Whether a connection from one node reaches a port of an address. */
async function reaches(cluster: KubernetesCluster, node: string, url: string): Promise<boolean> {
  const asked = await cluster.tryNodeExec(node, ['curl', '-sk', '-m', '2', '-o', '/dev/null', url]);
  return asked.code === 0;
}

async function checkPartitions(cluster: KubernetesCluster): Promise<void> {
  const node = 'node-2';
  const api = cluster.layout.apiServerUrl;
  const peer = `https://${cluster.node('node-1').address}:10250/healthz`;
  for (const [scope, seesApi, seesPeer] of [
    ['api', false, true],
    ['peers', true, false],
    ['all', false, false],
  ] as const) {
    await cluster.partition(node, scope);
    const seen = [await reaches(cluster, node, api), await reaches(cluster, node, peer)];
    await cluster.heal(node);
    check(
      seen[0] === seesApi && seen[1] === seesPeer,
      `cut off from ${scope}, it sees the API server: ${seen[0]}, another node: ${seen[1]}`,
    );
  }
  const healed = (await reaches(cluster, node, api)) && (await reaches(cluster, node, peer));
  check(healed, 'the healed node is still cut off');
}

async function checkRestarts(cluster: KubernetesCluster, { step }: CaseHelpers): Promise<void> {
  await step('the API server and etcd die and come back', async () => {
    await cluster.restartControlPlane('kube-apiserver');
    await cluster.restartControlPlane('etcd');
    await cluster.waitNodesReady();
  });
  await step('a kubelet and a containerd die and come back', async () => {
    await cluster.killService('node-1', 'kubelet');
    await cluster.killService('node-1', 'containerd');
    await waitFor('containerd', 30_000, async () =>
      (await cluster.tryNodeExec('node-1', ['ctr', 'version'])).code === 0 ? true : undefined,
    );
  });
}

/** The agents' mounts and what they wrote outlive them, as px-node's would. */
async function cleanNodes(cluster: KubernetesCluster, { namespace }: CaseHelpers): Promise<void> {
  const args = ['delete', 'daemonset', 'agent', '-n', namespace, '--cascade=foreground'];
  await cluster.kubectl(args, { timeoutMs: 60_000 });
  for (const { name } of cluster.nodes) {
    const script = `while umount /var/lib/agent/m; do :; done; rm -rf /var/lib/agent; wipefs -qa ${diskPath(1)}`;
    await cluster.nodeExec(name, [
      'sh',
      '-c',
      `${script}; dd if=/dev/zero of=${diskPath(1)} bs=512 count=1`,
    ]);
  }
}

/** The cluster itself: what every other case takes for granted. */
export const clusterWorks: KubernetesCase = {
  name: 'cluster-works',
  timeoutMs: 6 * 60_000,
  images: ['busybox'],
  async run(cluster, helpers) {
    const { namespace, step } = helpers;
    await step('pods run on every node', async () => {
      const service = {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web', namespace },
        spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
      };
      await cluster.apply(webServer(namespace), agent(namespace), service);
      // Not "rollout status": it is content with a DaemonSet that has seen no node yet.
      const all = `jsonpath={.status.numberReady}=${cluster.nodes.length}`;
      const names = ['daemonset/web', 'daemonset/agent'];
      await cluster.waitFor(names, all, rolloutTimeoutMs, namespace);
    });
    await step('a service is reached by its name', () => checkService(cluster, helpers));
    await step('a privileged pod mounts for its node and has its disks', async () => {
      for (const { name } of cluster.nodes) await checkAgent(cluster, helpers, name);
    });
    await step('partitions cut what they say', () => checkPartitions(cluster));
    await checkRestarts(cluster, helpers);
    await loseAndRegain(cluster, helpers);
    await step('a service is reached again', () => checkService(cluster, helpers));
    await cleanNodes(cluster, helpers);
    const changed = await cluster.changedSettings();
    check(changed.length === 0, `the machine's settings have changed: ${changed.join(', ')}`);
  },
};
