import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { systemNamespace } from './install-px.js';

interface StorageNode {
  readonly metadata: { readonly name: string };
  readonly status?: {
    readonly phase?: string;
    readonly nodeUid?: string;
    readonly nodeAttributes?: { readonly storage?: boolean; readonly kvdb?: boolean };
    readonly decommission?: { readonly state: string; readonly message?: string };
  };
}

interface Node {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: { readonly taints?: readonly { readonly key: string; readonly value?: string }[] };
}

const inSystem = ['-n', systemNamespace];
const kvdbPort = 9019;

export async function storageNode(
  cluster: KubernetesCluster,
  name: string,
): Promise<StorageNode | undefined> {
  const words = ['get', 'storagenode', name, ...inSystem, '--ignore-not-found', '-o', 'json'];
  const text = await cluster.kubectl(words);
  return text.trim() === '' ? undefined : (JSON.parse(text) as StorageNode);
}

/** px there serves; answers its identity. */
export async function waitOnline(
  cluster: KubernetesCluster,
  name: string,
  timeoutMs: number,
): Promise<string> {
  let seen = 'unknown';
  return waitFor(`px on ${name}`, timeoutMs, async () => {
    const { status } = (await storageNode(cluster, name)) ?? {};
    seen = status?.phase ?? 'unknown';
    return seen === 'Online' ? (status?.nodeUid ?? '') : undefined;
  }).catch((error: unknown) => {
    throw new Error(`StorageNode ${name} is ${seen}`, { cause: error });
  });
}

export async function annotate(
  cluster: KubernetesCluster,
  object: string,
  annotation: string,
): Promise<void> {
  await cluster.kubectl(['annotate', object, annotation, ...inSystem, '--overwrite']);
}

/** What a decommission says of itself, once it says what the predicate is about. */
export async function waitDecommission(
  cluster: KubernetesCluster,
  name: string,
  timeoutMs: number,
  isIt: (state: string, message: string) => boolean,
): Promise<void> {
  let said = '';
  await waitFor(`word of the decommission of ${name}`, timeoutMs, async () => {
    const { status } = (await storageNode(cluster, name)) ?? {};
    const { state = '', message = '' } = status?.decommission ?? {};
    said = `${state}: ${message}`;
    return isIt(state, message) ? true : undefined;
  }).catch((error: unknown) => {
    throw new Error(`the decommission of ${name} says "${said}"`, { cause: error });
  });
}

export async function waitForgotten(
  cluster: KubernetesCluster,
  name: string,
  timeoutMs: number,
): Promise<void> {
  await waitFor(`end of StorageNode ${name}`, timeoutMs, async () =>
    (await storageNode(cluster, name)) === undefined ? true : undefined,
  );
}

/** What px did to a node in Kubernetes: its mark and its taint. */
export async function outOfService(cluster: KubernetesCluster, name: string): Promise<string[]> {
  const { metadata, spec } = await cluster.get<Node>(['node', name]);
  const mark = metadata.annotations?.['px.io/fenced'];
  const taints = (spec.taints ?? [])
    .filter(({ key }) => key === 'node.kubernetes.io/out-of-service')
    .map(({ key, value = '' }) => `${key}=${value}`);
  return [...(mark === undefined ? [] : [`px.io/fenced=${mark}`]), ...taints];
}

/** Neither px nor a person says any more that the node is dead. */
export async function waitInService(
  cluster: KubernetesCluster,
  name: string,
  timeoutMs: number,
): Promise<void> {
  await waitFor(`${name} in service`, timeoutMs, async () =>
    (await outOfService(cluster, name)).length === 0 ? true : undefined,
  );
}

/** The nodes that carry the internal key-value store, by what the operator has chosen. */
export async function kvdbMembers(cluster: KubernetesCluster): Promise<readonly string[]> {
  const path = 'jsonpath={.data.members\\.json}';
  const text = await cluster.kubectl(['get', 'configmap', 'px-kvdb', ...inSystem, '-o', path]);
  return (JSON.parse(text) as { node: string }[]).map(({ node }) => node);
}

/** The store has exactly these members, and each of them is well. */
export async function waitKvdbWhole(cluster: KubernetesCluster, timeoutMs: number): Promise<void> {
  let seen = '';
  await waitFor('three members of the key-value store', timeoutMs, async () => {
    const chosen = await kvdbMembers(cluster);
    const urls = chosen.map((name) => `http://${cluster.node(name).address}:${kvdbPort}`);
    const healthy = await Promise.all(urls.map((url) => ask(cluster, [`${url}/health`])));
    const list = await ask(cluster, ['-d', '{}', `${urls[0] ?? ''}/v3/cluster/member/list`]);
    const members = (JSON.parse(list) as { members?: { clientURLs?: string[] }[] }).members ?? [];
    seen = `${chosen.join(', ')}: ${list}; ${healthy.join(' ')}`;
    const asChosen = urls.every((url) => members.some((one) => one.clientURLs?.includes(url)));
    const whole = asChosen && members.length === 3 && chosen.length === 3;
    return whole && healthy.every((text) => text.includes('"true"')) ? true : undefined;
  }).catch((error: unknown) => {
    throw new Error(`the key-value store: ${seen}`, { cause: error });
  });
}

async function ask(cluster: KubernetesCluster, words: readonly string[]): Promise<string> {
  return (await cluster.runBeside(['curl', '-s', '-m', '3', ...words])).stdout;
}
