import { diskPath, type NodeLayout } from './layout.js';
import { guardedSettings } from './kernel-settings.js';

/**
 * The script that is PID 1 of a node. It makes the node's own tree of mounts,
 * changes into it, and keeps containerd, the kubelet and kube-proxy running,
 * as systemd would. bash and not another shell: it reaps the orphans of the
 * whole PID namespace, as an init must.
 */
export interface NodeInit {
  readonly node: NodeLayout;
  readonly kubernetesBinDir: string;
  readonly cniBinDir: string;
  /** The machine's loop devices that play the node's disks. */
  readonly disks: readonly string[];
}

/** systemd's place in the machine's cgroups; v1 has a tree for each controller. */
function joinCgroup(node: NodeLayout): string {
  return `for procs in /sys/fs/cgroup/*/${node.cgroup}/system/cgroup.procs; do
  [ -e "$procs" ] && echo $$ > "$procs"
done`;
}

/**
 * The node's root: its own directories on its own disk, the machine's programs
 * to read, and what a machine has in memory in memory.
 */
function makeRoot(init: NodeInit): string {
  const { node } = init;
  return `R='${node.rootDir}'
D='${node.dir}'
mkdir -p "$D/etc" "$D/etc-work" "$R"/{usr,etc,var/lib,var/log,var/cache,var/tmp,tmp,root,home,mnt,srv,opt/cni/bin,opt/kubernetes/bin,dev,proc,sys,run,.machine}
chmod 1777 "$R/tmp" "$R/var/tmp"
chmod 700 "$R/root"
ln -sfn /run "$R/var/run"
mount --bind "$R" "$R"
for name in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$name" ]; then ln -sfn "$(readlink "/$name")" "$R/$name"
  elif [ -d "/$name" ]; then mkdir -p "$R/$name"; mount --bind -o ro "/$name" "$R/$name"
  fi
done
mount --bind /usr "$R/usr"
mount -o remount,bind,ro "$R/usr"
mount --bind '${init.kubernetesBinDir}' "$R/opt/kubernetes/bin"
mount -o remount,bind,ro "$R/opt/kubernetes/bin"
mount --bind '${init.cniBinDir}' "$R/opt/cni/bin"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$D/etc,workdir=$D/etc-work" "$R/etc"
mount -t tmpfs -o mode=755,size=1g tmpfs "$R/run"
mount -t proc proc "$R/proc"
mount -t sysfs sysfs "$R/sys"
mount --rbind /sys/fs/cgroup "$R/sys/fs/cgroup"
[ ! -d /sys/fs/fuse/connections ] || mount -t fusectl fusectl "$R/sys/fs/fuse/connections"`;
}

/** /dev is the kernel's one devtmpfs; what hangs below it is the node's own. */
function makeDevices(init: NodeInit): string {
  const links = init.disks.map((device, index) => `ln -s '${device}' "$R${diskPath(index + 1)}"`);
  return `mkdir -p /dev/disk
mount --rbind /dev "$R/dev"
mount -t tmpfs -o mode=1777,size=512m tmpfs "$R/dev/shm"
mount -t tmpfs -o mode=755,size=1m tmpfs "$R/dev/disk"
mkdir -p "$R/dev/disk/by-id"
${links.join('\n')}`;
}

/** What a kubelet writes there at start-up stays with the node. */
function guardSettings(node: NodeLayout): string {
  return `mkdir -p "$R/run/pxk/settings"
for file in ${guardedSettings.join(' ')}; do
  [ -e "$file" ] || continue
  copy="$R/run/pxk/settings/\${file//\\//_}"
  cat "$file" > "$copy"
  mount --bind "$copy" "$R$file"
done
cat '${node.bootIdFile}' > "$R/run/pxk/boot_id"
mount --bind "$R/run/pxk/boot_id" "$R/proc/sys/kernel/random/boot_id"`;
}

/** What ends as soon as it is started must not keep the machine busy. */
const services = `supervise() {
  local name="$1"
  shift
  (
    trap - TERM
    while :; do
      while [ -e "/run/pxk/$name.stopped" ]; do sleep 0.2; done
      started=$SECONDS
      "$@" >> "/var/log/$name.log" 2>&1 < /dev/null
      if (( SECONDS - started < 5 )); then sleep 3; else sleep 0.3; fi
    done
  ) &
}
supervise containerd /usr/bin/containerd --config /etc/containerd/config.toml
supervise kubelet /opt/kubernetes/bin/kubelet \\
  --config=/etc/kubernetes/kubelet.json --kubeconfig=/etc/kubernetes/kubelet.kubeconfig \\
  --hostname-override="$NODE_NAME" --node-ip="$NODE_IP" --node-labels="$NODE_LABELS"
supervise kube-proxy /opt/kubernetes/bin/kube-proxy --config=/etc/kubernetes/kube-proxy.json`;

export function initScript(init: NodeInit): string {
  const { node } = init;
  const labels = [
    `topology.kubernetes.io/zone=${node.zone}`,
    `topology.kubernetes.io/region=${node.region}`,
  ];
  return `#!/bin/bash
set -eu
umask 022
${joinCgroup(node)}
hostname '${node.name}'
${makeRoot(init)}
${makeDevices(init)}
${guardSettings(node)}
cd "$R"
pivot_root . .machine
cd /
umount -l /.machine
# A container's mounts reach the node and other containers where a pod asks for it.
mount --make-rshared /
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/kubernetes/bin
export NODE_NAME='${node.name}' NODE_IP='${node.address}' NODE_LABELS='${labels.join(',')}'
export CONTAINERD_ADDRESS=/run/containerd/containerd.sock CONTAINERD_NAMESPACE=k8s.io
set +e
${services}
echo ready > /run/pxk/started
while :; do wait; sleep 1; done
`;
}
