import { existsSync } from 'node:fs';
import path from 'node:path';
import { findCommand, tryRun } from '../../../tools/lib/run.js';
import type { Programs } from '../cluster/control-plane.js';
import { compareGoVersions, readGoModule } from './go-module.js';
import {
  buildKubernetes,
  buildModule,
  findGo,
  isModuleBuilt,
  sideModules,
  type BuildOptions,
} from './programs.js';

/** Builds what a cluster of this version and its images need, or finds it built. */
export async function findPrograms(version: string, options: BuildOptions): Promise<Programs> {
  const kubernetes = await buildKubernetes(version, options);
  const side = new Map<string, string>();
  for (const name of sideModules) side.set(name, (await buildModule(name, options)).binDir);
  return {
    version: kubernetes.version,
    kubernetes: kubernetes.binDir,
    etcd: side.get('etcd') ?? '',
    helm: side.get('helm') ?? '',
    coredns: side.get('coredns') ?? '',
  };
}

const commands = {
  containerd: 'containerd',
  runc: 'runc',
  iptables: 'iptables',
  buildah: 'buildah',
  debootstrap: 'debootstrap',
  busybox: 'busybox-static',
  openssl: 'openssl',
  curl: 'curl',
  losetup: 'mount',
  ip: 'iproute2',
} as const;

/** Why no cluster can be had on this machine, in a few words; undefined when it can. */
export async function whatIsMissing(
  version: string,
  toolsDir: string,
): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const [command, debianPackage] of Object.entries(commands)) {
    if ((await findCommand(command)) === undefined) return `needs Debian's ${debianPackage}`;
  }
  if (!existsSync('/usr/lib/cni/bridge')) return "needs Debian's containernetworking-plugins";
  if (!existsSync('/dev/loop-control')) return 'needs loop devices';
  const modules = [`kubernetes-${version}`, ...sideModules];
  const built = await Promise.all(modules.map((name) => isModuleBuilt(name, toolsDir)));
  if (built.every(Boolean)) return undefined;
  const go = await findGo();
  if (go === undefined) return 'Kubernetes is built with Go, and there is none';
  return goTooOld(go, modules, toolsDir);
}

/** In a module's directory, Go 1.21 and newer take the toolchain that go.mod asks for, or fail. */
async function goTooOld(
  go: string,
  names: readonly string[],
  toolsDir: string,
): Promise<string | undefined> {
  const modules = await Promise.all(names.map((name) => readGoModule(path.join(toolsDir, name))));
  modules.sort((a, b) => compareGoVersions(b.goVersion, a.goVersion));
  const [newest] = modules;
  if (newest === undefined) return undefined;
  const asked = await tryRun(go, ['env', 'GOVERSION'], { cwd: newest.dir, timeoutMs: 120_000 });
  const version = asked.stdout.trim();
  if (asked.code === 0 && compareGoVersions(version, newest.goVersion) >= 0) return undefined;
  const said = asked.stderr.trim().split('\n').at(-1) ?? '';
  return `Kubernetes is built with Go ${newest.goVersion} or newer, and this is ${version || said}`;
}
