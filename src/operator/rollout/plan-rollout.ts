/**
 * Which px-node pods are replaced next, from what was observed. Pure. All state
 * is in the pods, the DaemonSet's revisions and px, so a roll-out goes on where
 * it was when the operator restarts.
 *
 * A px-node pod that ends does not end the block path, which lives outside of
 * it. Yet while it is away the node takes no attach and no new replica, and its
 * successor may restart the engine; so one node goes after the other, and only
 * when the data plane says that it may.
 */

export interface RolloutPod {
  readonly name: string;
  readonly uid: string;
  /** Its label controller-revision-hash. */
  readonly revision: string;
  readonly ready: boolean;
  /** 0 while it isn't. */
  readonly readyForMs: number;
  readonly ageMs: number;
  readonly terminating: boolean;
  /** Why it can't start: `CrashLoopBackOff: …`. */
  readonly trouble: string | undefined;
}

export interface RolloutNode {
  readonly name: string;
  readonly kubeletReady: boolean;
  readonly pod: RolloutPod | undefined;
  /** Undefined when px does not know the node (yet), or does not answer. */
  readonly px:
    | {
        readonly id: string;
        readonly state: string;
        readonly stateReason: string;
        readonly configHash: string;
        readonly kvdbMember: boolean;
      }
    | undefined;
  /** Undefined when there is no configuration for the node. */
  readonly wantedConfigHash: string | undefined;
  /** Volumes with a replica here that is not in sync, by name. */
  readonly behind: readonly string[];
  /** Other nodes that have replicas of the same volumes. */
  readonly neighbours: readonly string[];
}

export interface RolloutInput {
  readonly nodes: readonly RolloutNode[];
  /** Undefined until the DaemonSet's controller has seen the template. */
  readonly revision: string | undefined;
  readonly strategy: 'RollingUpdate' | 'OnDelete';
  /** A number, or a percentage of the nodes, rounded up as for a DaemonSet. */
  readonly maxUnavailable: number | string;
  readonly minReadyMs: number;
  /** Who paused it, if anybody. */
  readonly pausedBy: string | undefined;
}

export interface Candidate {
  readonly node: string;
  readonly pod: RolloutPod;
  /** What the data plane must be asked about; undefined when px there is down already. */
  readonly pxId: string | undefined;
}

export interface RolloutPlan {
  /** For the condition. */
  readonly reason:
    'UpToDate' | 'Starting' | 'Updating' | 'Waiting' | 'Paused' | 'OnDelete' | 'Failing';
  readonly message: string;
  /** Best first; the controller replaces the first that may go, then plans again. */
  readonly candidates: readonly Candidate[];
}

/** A pod that is not ready after this has failed: images are large, and pools may need checking. */
export const progressDeadlineMs = 600_000;

/**
 * The lease of px on a node outlives its process by up to 6 s: until then px may
 * call operational what was so before the pod was replaced.
 */
const leastReadyMs = 7_000;

/**
 * A pod that has just become ready may not have published the hash of its
 * configuration yet, and a kubelet may have given it the file of a moment ago.
 */
const configSettleMs = 30_000;

export function planRollout(input: RolloutInput): RolloutPlan {
  const states = input.nodes.map((node) => ({ node, state: stateOf(node, input) }));
  const failing = states.filter(({ state }) => state.kind === 'failing');
  const outdated = states.filter(({ state }) => state.kind === 'outdated');
  const unsettled = states.filter(({ state }) => state.kind === 'unsettled');
  const sentences = [...failing, ...unsettled].map(
    ({ node, state }) => `${node.name}: ${'why' in state ? state.why : ''}`,
  );
  const answer = (
    reason: RolloutPlan['reason'],
    message: string,
    candidates: readonly Candidate[] = [],
  ): RolloutPlan => ({ reason, message: message.slice(0, 4_000), candidates });
  const old = `${outdated.length} of ${input.nodes.length} nodes run an old px-node`;

  if (input.revision === undefined) return answer('Waiting', 'the DaemonSet is not processed yet');
  if (outdated.length > 0 && input.pausedBy !== undefined) {
    return answer('Paused', `${old}; paused by ${input.pausedBy}`);
  }
  if (outdated.length > 0 && input.strategy === 'OnDelete') {
    const names = outdated.map(({ node }) => node.name).join(', ');
    return answer('OnDelete', `${old}: delete its pod on ${names}`);
  }
  if (failing.length > 0) {
    const stopped = outdated.length > 0 ? `${old}, and no more is replaced; ` : '';
    return answer('Failing', `${stopped}${sentences.join('; ')}`);
  }
  if (outdated.length === 0) {
    if (unsettled.length === 0) return answer('UpToDate', '');
    return answer('Starting', sentences.join('; '));
  }
  const candidates = candidatesOf(input, outdated, unsettled);
  if (candidates.length > 0) return answer('Updating', old, candidates);
  return answer('Waiting', `${old}; ${sentences.join('; ') || 'no node may go now'}`);
}

type NodeState =
  | { readonly kind: 'settled' }
  | { readonly kind: 'unsettled'; readonly why: string }
  | { readonly kind: 'failing'; readonly why: string }
  /** `away`: it serves nothing now, so to replace it costs nothing. */
  | { readonly kind: 'outdated'; readonly away: boolean };

function stateOf(node: RolloutNode, input: RolloutInput): NodeState {
  const { pod, px } = node;
  const unsettled = (why: string): NodeState => ({ kind: 'unsettled', why });
  if (pod === undefined) return unsettled('its pod is not there yet');
  if (pod.terminating) return unsettled('its old pod is ending');
  const away = !pod.ready || px === undefined || px.state === 'offline';
  if (input.revision !== undefined && pod.revision !== input.revision) {
    return { kind: 'outdated', away };
  }
  if (!pod.ready) {
    // Each start reads the configuration anew, so a pod that does not become
    // ready is not helped by being replaced for its configuration.
    if (pod.trouble !== undefined) return { kind: 'failing', why: pod.trouble };
    if (pod.ageMs > progressDeadlineMs) {
      const minutes = Math.round(progressDeadlineMs / 60_000);
      return { kind: 'failing', why: `its pod is not ready after ${minutes} minutes` };
    }
    return unsettled('its pod is not ready yet');
  }
  if (hasOldConfig(node)) {
    if (pod.readyForMs > configSettleMs) return { kind: 'outdated', away };
    return unsettled('it does not run with its new configuration yet');
  }
  if (pod.readyForMs < Math.max(leastReadyMs, input.minReadyMs))
    return unsettled('its pod has just become ready');
  if (px === undefined) return unsettled('px does not know it yet');
  if (px.state !== 'operational' && px.state !== 'maintenance') {
    return unsettled(
      `px there is ${px.state}${px.stateReason === '' ? '' : `: ${px.stateReason}`}`,
    );
  }
  if (node.behind.length > 0) {
    const some = node.behind.slice(0, 5).join(', ');
    return unsettled(`${node.behind.length} replicas are not in sync (${some})`);
  }
  return { kind: 'settled' };
}

function hasOldConfig({ px, wantedConfigHash }: RolloutNode): boolean {
  if (px === undefined || px.state === 'offline' || px.configHash === '') return false;
  return wantedConfigHash !== undefined && px.configHash !== wantedConfigHash;
}

type Judged = { readonly node: RolloutNode; readonly state: NodeState };

function candidatesOf(
  input: RolloutInput,
  outdated: readonly Judged[],
  unsettled: readonly Judged[],
): readonly Candidate[] {
  const limit = resolveMaxUnavailable(input.maxUnavailable, input.nodes.length);
  const isAway = ({ state }: Judged): boolean => state.kind === 'outdated' && state.away;
  const missing = [...unsettled, ...outdated.filter(isAway)].map(({ node }) => node);
  const free = limit - unsettled.length;
  if (free <= 0) return [];
  const mayGo = ({ node }: Judged): boolean => {
    const others = missing.filter(({ name }) => name !== node.name);
    // A kubelet that is down ends no pod: to delete one there would only use up a place.
    if (!node.kubeletReady) return false;
    // Two members of three are no majority; a third of five is not worth the risk.
    if (node.px?.kvdbMember === true && others.some(({ px }) => px?.kvdbMember === true)) {
      return false;
    }
    // px answers for one node as things are now; it does not know who else was just told to go.
    return !others.some(({ name }) => node.neighbours.includes(name));
  };
  const first = outdated.filter(isAway);
  const rest = missing.length < limit ? outdated.filter((one) => !isAway(one)) : [];
  return [...sorted(first), ...sorted(rest.filter(mayGo))]
    .filter(({ node }) => node.kubeletReady)
    .flatMap(({ node: { name, pod, px } }): readonly Candidate[] => {
      if (pod === undefined) return [];
      const down = !pod.ready && (px === undefined || px.state === 'offline');
      if (down) return [{ node: name, pod, pxId: undefined }];
      // Ready, and px can't be asked about it: nobody knows what it would cost.
      return px === undefined ? [] : [{ node: name, pod, pxId: px.id }];
    });
}

/** Members of the key-value store last: what is new has proved itself by then. */
function sorted(nodes: readonly Judged[]): readonly Judged[] {
  const rank = ({ node }: Judged): string => `${node.px?.kvdbMember === true ? 1 : 0}${node.name}`;
  return [...nodes].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

export function resolveMaxUnavailable(value: number | string, nodes: number): number {
  const text = String(value);
  const number = text.endsWith('%')
    ? Math.ceil((Number.parseInt(text, 10) * nodes) / 100)
    : Number.parseInt(text, 10);
  return Number.isNaN(number) ? 1 : Math.max(1, number);
}
