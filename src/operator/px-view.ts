import type { NodeStatus__Output } from '../gen/px/v1/NodeStatus.js';
import type { Volume__Output } from '../gen/px/v1/Volume.js';
import { monotonicMs } from '../platform/monotonic.js';
import type { OperatorContext, PxCluster } from './ports.js';

/**
 * What px says of its nodes and volumes, shared by the controllers: who asks
 * names the greatest age that will do, and only then is px asked again. So
 * nothing polls by itself, and ten controllers cost one call.
 */
export interface PxView {
  nodes(maxAgeMs: number): Promise<readonly NodeStatus__Output[]>;
  /** The last answer, however old; undefined when there was none yet. */
  lastNodes(): readonly NodeStatus__Output[] | undefined;
  /** Every volume, snapshots too. */
  volumes(maxAgeMs: number): Promise<readonly Volume__Output[]>;
  /** Called when an answer about the nodes differs from the one before. */
  onNodesChange(listener: () => void): void;
}

const views = new WeakMap<object, PxView>();

/** The one view of an operator. */
export function pxView(context: Pick<OperatorContext, 'px'>): PxView {
  const existing = views.get(context.px);
  if (existing !== undefined) return existing;
  const view = createPxView(context.px, monotonicMs);
  views.set(context.px, view);
  return view;
}

/** A node that just died still looks well: the next call goes to another. */
const callTimeoutMs = 3_000;
const listTimeoutMs = 20_000;
const pageEntries = 1_000;

export function createPxView(px: PxCluster, nowMs: () => number): PxView {
  const listeners: (() => void)[] = [];
  let fingerprint: string | undefined;
  const nodes = cached(nowMs, async () => {
    const api = await px.any();
    const answer = (await api.ListNodes({}, { timeoutMs: callTimeoutMs })).nodes;
    return answer;
  });
  const volumes = cached(nowMs, () => listVolumes(px));
  return {
    nodes: async (maxAgeMs) => {
      const answer = await nodes.get(maxAgeMs);
      const print = fingerprintOf(answer);
      if (print !== fingerprint) {
        fingerprint = print;
        listeners.forEach((listener) => listener());
      }
      return answer;
    },
    lastNodes: nodes.last,
    volumes: volumes.get,
    onNodesChange: (listener) => {
      listeners.push(listener);
    },
  };
}

/** What another pass is worth for: used bytes change all the time and are left out. */
function fingerprintOf(nodes: readonly NodeStatus__Output[]): string {
  return JSON.stringify(
    nodes.map((node) => [
      node.id,
      node.name,
      node.state,
      node.state_reason,
      node.version,
      node.config_hash,
      node.kvdb_member,
      node.maintenance,
      node.decommission,
      node.pools.map(({ id, state, total_bytes }) => [id, state, total_bytes]),
    ]),
  );
}

async function listVolumes(px: PxCluster): Promise<readonly Volume__Output[]> {
  const api = await px.any();
  const all: Volume__Output[] = [];
  let token = '';
  do {
    const page = await api.ListVolumes(
      { max_entries: pageEntries, starting_token: token },
      { timeoutMs: listTimeoutMs },
    );
    all.push(...page.volumes);
    token = page.next_token;
  } while (token !== '');
  return all;
}

interface Cached<Value> {
  readonly get: (maxAgeMs: number) => Promise<Value>;
  readonly last: () => Value | undefined;
}

function cached<Value>(nowMs: () => number, load: () => Promise<Value>): Cached<Value> {
  let latest: { readonly value: Value; readonly askedAtMs: number } | undefined;
  let running: Promise<Value> | undefined;
  const refresh = async (): Promise<Value> => {
    // The age counts from the question: what the answer says may be that old.
    const askedAtMs = nowMs();
    const value = await load();
    latest = { value, askedAtMs };
    return value;
  };
  return {
    get: (maxAgeMs) => {
      if (latest !== undefined && nowMs() - latest.askedAtMs <= maxAgeMs) {
        return Promise.resolve(latest.value);
      }
      running ??= refresh().finally(() => (running = undefined));
      return running;
    },
    last: () => latest?.value,
  };
}
