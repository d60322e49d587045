import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ClusterLayout, NodeLayout } from './layout.js';
import { kubeconfig } from './pki.js';

/** The image of every pod's sandbox; no registry is in reach, it is imported. */
const pauseImage = 'registry.k8s.io/pause:3.10';

/** `v1.35.4` is 35. */
function minorOf(version: string): number {
  return Number(version.split('.')[1]);
}

function kubeletConfig(cluster: ClusterLayout, node: NodeLayout, version: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: '/etc/kubernetes/ca.crt' },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: '/etc/kubernetes/node.crt',
    tlsPrivateKeyFile: '/etc/kubernetes/node.key',
    clusterDomain: 'cluster.local',
    clusterDNS: [cluster.dnsAddress],
    resolvConf: '/etc/resolv.conf',
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${node.cgroup}`,
    // This kind of machine has cgroup v1, which 1.35 refuses by default; 1.31 brought the field.
    ...(minorOf(version) >= 31 ? { failCgroupV1: false } : {}),
    enforceNodeAllocatable: [],
    // A pod whose volume has grown gets its file system grown at the next look at the pod:
    // by default once a minute, which is the longest wait of any test.
    syncFrequency: '10s',
    failSwapOn: false,
    // Three nodes share one disk, which is easily "full", and images can't be pulled again.
    evictionHard: {
      'memory.available': '50Mi',
      'nodefs.available': '0%',
      'imagefs.available': '0%',
    },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    // The machine may lack CAP_SYS_RESOURCE.
    oomScoreAdj: 0,
    // The default lies below /usr, which is the machine's.
    volumePluginDir: '/var/lib/kubelet/volumeplugins',
    maxPods: 250,
    registerNode: true,
    logging: { verbosity: 2 },
  };
}

function kubeProxyConfig(cluster: ClusterLayout, node: NodeLayout): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clientConnection: { kubeconfig: '/etc/kubernetes/kube-proxy.kubeconfig' },
    hostnameOverride: node.name,
    mode: 'iptables',
    clusterCIDR: cluster.podCidr,
    bindAddress: '0.0.0.0',
    // Conntrack's limits are the machine's: zero means "leave it as it is".
    conntrack: {
      maxPerCore: 0,
      min: 0,
      tcpEstablishedTimeout: '0s',
      tcpCloseWaitTimeout: '0s',
      udpTimeout: '0s',
      udpStreamTimeout: '0s',
    },
    oomScoreAdj: 0,
  };
}

const containerdConfig = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
`;

function cniConfig(node: NodeLayout): object {
  return {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          // In memory: a machine that lost its power has no pods, and no addresses in use.
          dataDir: '/run/cni/networks',
          ranges: [[{ subnet: node.podCidr, gateway: node.gateway }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
}

/** Writes what differs from the machine's /etc, before it is laid over it. */
export async function writeNodeFiles(
  cluster: ClusterLayout,
  node: NodeLayout,
  nodes: readonly NodeLayout[],
  version: string,
): Promise<void> {
  const etc = path.join(node.dir, 'etc');
  const put = async (name: string, content: string | object): Promise<void> => {
    const file = path.join(etc, name);
    await mkdir(path.dirname(file), { recursive: true });
    const text = typeof content === 'string' ? content : JSON.stringify(content, null, 2);
    // A file that came with the machine's /etc may be a link there.
    await rm(file, { force: true });
    await writeFile(file, text, { mode: name.startsWith('kubernetes/') ? 0o600 : 0o644 });
  };
  const hosts = nodes.map((n) => `${n.address} ${n.name}`).join('\n');
  await put('hostname', `${node.name}\n`);
  await put('hosts', `127.0.0.1 localhost\n${hosts}\n`);
  await put('resolv.conf', '');
  if (!existsSync(path.join(etc, 'machine-id'))) {
    await put('machine-id', `${randomUUID().replaceAll('-', '')}\n`);
  }
  await put('containerd/config.toml', containerdConfig);
  await put('cni/net.d/10-pods.conflist', cniConfig(node));
  await put('kubernetes/kubelet.json', kubeletConfig(cluster, node, version));
  await put('kubernetes/kube-proxy.json', kubeProxyConfig(cluster, node));
  await put('kubernetes/kubelet.kubeconfig', await kubeconfig(cluster, node.name));
  await put('kubernetes/kube-proxy.kubeconfig', await kubeconfig(cluster, 'kube-proxy'));
  const pki = (name: string): string => path.join(cluster.pkiDir, name);
  await copyFile(pki('ca.crt'), path.join(etc, 'kubernetes/ca.crt'));
  await copyFile(pki(`${node.name}.crt`), path.join(etc, 'kubernetes/node.crt'));
  await copyFile(pki(`${node.name}.key`), path.join(etc, 'kubernetes/node.key'));
}
