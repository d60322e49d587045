import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { tryRun } from '../../../tools/lib/run.js';
import { GiveUp, waitFor } from '../../../tools/lib/wait.js';
import { corefilePath } from './dns.js';
import type { ClusterLayout } from './layout.js';
import { killAll, listProcesses, spawnDetached } from './processes.js';

export const components = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'coredns',
] as const;
export type Component = (typeof components)[number];

/** Directories with the built programs. */
export interface Programs {
  /** Of Kubernetes. */
  readonly version: string;
  readonly kubernetes: string;
  readonly etcd: string;
  readonly helm: string;
  readonly coredns: string;
}

const etcdUrl = 'http://127.0.0.1:2379';
const startTimeoutMs = 90_000;

function etcdFlags(cluster: ClusterLayout): string[] {
  return [
    `--data-dir=${path.join(cluster.dir, 'etcd')}`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    '--listen-peer-urls=http://127.0.0.1:2380',
    // The cluster does not outlive the machine, and six disks share one.
    '--unsafe-no-fsync',
    '--snapshot-count=5000',
    '--log-level=warn',
  ];
}

function apiServerFlags(cluster: ClusterLayout): string[] {
  const pki = (name: string): string => path.join(cluster.pkiDir, name);
  return [
    `--etcd-servers=${etcdUrl}`,
    `--advertise-address=${cluster.hubAddress}`,
    '--secure-port=6443',
    `--service-cluster-ip-range=${cluster.serviceCidr}`,
    `--tls-cert-file=${pki('apiserver.crt')}`,
    `--tls-private-key-file=${pki('apiserver.key')}`,
    `--client-ca-file=${pki('ca.crt')}`,
    `--kubelet-client-certificate=${pki('apiserver-kubelet.crt')}`,
    `--kubelet-client-key=${pki('apiserver-kubelet.key')}`,
    `--kubelet-certificate-authority=${pki('ca.crt')}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${pki('service-account.pub')}`,
    `--service-account-signing-key-file=${pki('service-account.key')}`,
    `--requestheader-client-ca-file=${pki('front-proxy-ca.crt')}`,
    '--requestheader-allowed-names=front-proxy',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-username-headers=X-Remote-User',
    `--proxy-client-cert-file=${pki('front-proxy.crt')}`,
    `--proxy-client-key-file=${pki('front-proxy.key')}`,
    // No kube-proxy runs beside the API server: it calls services at their endpoints.
    '--enable-aggregator-routing=true',
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    '--profiling=false',
  ];
}

function controllerManagerFlags(cluster: ClusterLayout): string[] {
  const pki = (name: string): string => path.join(cluster.pkiDir, name);
  return [
    `--kubeconfig=${pki('controller-manager.kubeconfig')}`,
    '--leader-elect=false',
    '--use-service-account-credentials=true',
    // Pod subnets and routes are the network's own; there is no cloud.
    '--controllers=*,-node-ipam-controller,-node-route-controller,-service-lb-controller',
    `--root-ca-file=${pki('ca.crt')}`,
    `--service-account-private-key-file=${pki('service-account.key')}`,
    `--cluster-signing-cert-file=${pki('ca.crt')}`,
    `--cluster-signing-key-file=${pki('ca.key')}`,
    '--bind-address=127.0.0.1',
    '--profiling=false',
  ];
}

function flagsOf(component: Component, cluster: ClusterLayout): string[] {
  switch (component) {
    case 'etcd':
      return etcdFlags(cluster);
    case 'kube-apiserver':
      return apiServerFlags(cluster);
    case 'kube-controller-manager':
      return controllerManagerFlags(cluster);
    case 'kube-scheduler':
      return [
        `--kubeconfig=${path.join(cluster.pkiDir, 'scheduler.kubeconfig')}`,
        '--leader-elect=false',
        '--bind-address=127.0.0.1',
        '--profiling=false',
      ];
    case 'coredns':
      return ['-conf', corefilePath(cluster)];
  }
}

/** What answers once a component does its work. */
const readyUrls: Readonly<Record<Component, string>> = {
  etcd: `${etcdUrl}/readyz`,
  'kube-apiserver': 'https://127.0.0.1:6443/readyz',
  'kube-controller-manager': 'https://127.0.0.1:10257/healthz',
  'kube-scheduler': 'https://127.0.0.1:10259/healthz',
  coredns: 'http://127.0.0.1:8181/ready',
};

export async function isRunning(cluster: ClusterLayout, component: Component): Promise<boolean> {
  return (await listProcesses(cluster)).some((p) => p.role === component);
}

async function waitReady(cluster: ClusterLayout, component: Component): Promise<void> {
  const logFile = path.join(cluster.logDir, `${component}.log`);
  await waitFor(
    `answer of ${component} (see ${logFile})`,
    startTimeoutMs,
    async () => {
      const asked = await tryRun(
        'nsenter',
        [
          ...[`--net=/run/netns/${cluster.hubNamespace}`, '--'],
          ...['curl', '-sf', '--max-time', '5', '--cacert', path.join(cluster.pkiDir, 'ca.crt')],
          // The manager and the scheduler serve with a certificate that they make themselves.
          ...(component.startsWith('kube-') && component !== 'kube-apiserver' ? ['-k'] : []),
          readyUrls[component],
        ],
        { timeoutMs: 10_000 },
      );
      if (asked.code === 0) return true;
      // In the middle of an exec the kernel shows no environment, and so no role: one without
      // may be the component, on its way through nsenter and setpriv.
      const there = await listProcesses(cluster);
      if (!there.some(({ role }) => role === component || role === '')) {
        const tail = await tryRun('tail', ['-n', '5', logFile]);
        throw new GiveUp(`${component} ended: ${tail.stdout}`);
      }
      return undefined;
    },
    250,
  );
}

/**
 * A user of its own: the kernel gives each user 128 inotify instances, root's
 * are for the kubelets, and the control plane needs a dozen. The capability
 * opens the cluster's directory wherever it lies.
 */
function asUser(cluster: ClusterLayout): string[] {
  const caps = '+dac_override,+net_bind_service';
  const id = String(cluster.userId);
  return [
    ...['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups'],
    ...[`--inh-caps=${caps}`, `--ambient-caps=${caps}`, '--'],
  ];
}

export async function startComponent(
  cluster: ClusterLayout,
  component: Component,
  programs: Programs,
): Promise<void> {
  if (!(await isRunning(cluster, component))) {
    await mkdir(path.join(cluster.dir, 'etcd'), { recursive: true, mode: 0o700 });
    const binDir =
      component === 'etcd' || component === 'coredns' ? programs[component] : programs.kubernetes;
    await spawnDetached({
      cluster,
      node: 'hub',
      role: component,
      namespace: cluster.hubNamespace,
      command: [...asUser(cluster), path.join(binDir, component), ...flagsOf(component, cluster)],
      logFile: path.join(cluster.logDir, `${component}.log`),
    });
  }
  await waitReady(cluster, component);
}

export async function killComponent(cluster: ClusterLayout, component: Component): Promise<void> {
  await killAll(cluster, (p) => p.role === component);
}
