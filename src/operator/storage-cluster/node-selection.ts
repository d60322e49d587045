import type {
  LabelSelector,
  NodeAffinity,
  NodeSelectorTerm,
  Toleration,
} from '../../crds/kubernetes-types.js';
import { nodeLabels, outOfServiceTaint } from '../names.js';
import type { KubeNode, Taint } from './kubernetes-types.js';

/**
 * Which nodes px runs on, by the scheduler's own rules: the operator needs the
 * answer before any pod exists (to write each node's configuration, to choose
 * the key-value store's members, to size the disruption budget).
 */

export interface Placement {
  readonly nodeAffinity: NodeAffinity;
  readonly tolerations: readonly Toleration[];
}

/** The default of users of this resource: Linux, not opted out, not a control plane. */
const defaultTerms: readonly NodeSelectorTerm[] = [
  {
    matchExpressions: [
      { key: 'kubernetes.io/os', operator: 'In', values: ['linux'] },
      { key: 'px/enabled', operator: 'NotIn', values: ['false'] },
      { key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' },
    ],
  },
];

/** What the StorageCluster asks for, and what holds whatever it asks for. */
export function placementOf(asked: Partial<Placement> | undefined): Placement {
  const required = asked?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const terms = required?.nodeSelectorTerms ?? (asked?.nodeAffinity ? [{}] : defaultTerms);
  return {
    nodeAffinity: {
      ...asked?.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: terms.map((term) => ({
          ...term,
          matchExpressions: [
            ...(term.matchExpressions ?? []),
            // A decommissioned node must not join again by itself.
            { key: nodeLabels.decommissioned, operator: 'DoesNotExist' },
          ],
        })),
      },
    },
    tolerations: [
      ...(asked?.tolerations ?? []),
      // The taint goes when px answers there again, so px must be able to start before.
      { key: outOfServiceTaint.key, operator: 'Exists', effect: outOfServiceTaint.effect },
    ],
  };
}

/**
 * What the DaemonSet controller adds to its pods by itself
 * (kubernetes.io/docs: "Taints and tolerations" of DaemonSets).
 */
const daemonTolerations: readonly Toleration[] = [
  'not-ready',
  'unreachable',
  'disk-pressure',
  'memory-pressure',
  'pid-pressure',
  'unschedulable',
  'network-unavailable',
].map((name) => ({ key: `node.kubernetes.io/${name}`, operator: 'Exists' as const }));

export function mayRun(node: KubeNode, placement: Placement): boolean {
  return matchesAffinity(node, placement.nodeAffinity) && toleratesTaints(node, placement);
}

export function matchesAffinity(node: KubeNode, affinity: NodeAffinity): boolean {
  const terms = affinity.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return terms === undefined || terms.some((term) => matchesTerm(node, term));
}

function toleratesTaints(node: KubeNode, placement: Placement): boolean {
  const tolerations = [...daemonTolerations, ...placement.tolerations];
  return (node.spec?.taints ?? [])
    .filter(({ effect }) => effect !== 'PreferNoSchedule')
    .every((taint) => tolerations.some((toleration) => tolerates(toleration, taint)));
}

function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect !== undefined) {
    if (toleration.effect !== taint.effect) return false;
  }
  if (toleration.key === undefined || toleration.key === '')
    return toleration.operator === 'Exists';
  if (toleration.key !== taint.key) return false;
  return toleration.operator === 'Exists' || (toleration.value ?? '') === (taint.value ?? '');
}

/** A term without any requirement matches nothing (so the API says of NodeSelectorTerm). */
function matchesTerm(node: KubeNode, term: NodeSelectorTerm): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length + fields.length === 0) return false;
  const fieldValues = { 'metadata.name': node.metadata.name };
  return (
    expressions.every((one) => matchesRequirement(one, node.metadata.labels ?? {})) &&
    fields.every((one) => matchesRequirement(one, fieldValues))
  );
}

/** An empty label selector matches everything (so the API says of LabelSelector). */
export function matchesLabels(
  selector: LabelSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  return (
    Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
    (selector.matchExpressions ?? []).every((one) => matchesRequirement(one, labels))
  );
}

interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Gt' | 'Lt';
  readonly values?: readonly string[] | undefined;
}

function matchesRequirement(
  { key, operator, values = [] }: Requirement,
  labels: Readonly<Record<string, string | undefined>>,
): boolean {
  const value = labels[key];
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return value !== undefined && Number.parseInt(value, 10) > Number(values[0]);
    case 'Lt':
      return value !== undefined && Number.parseInt(value, 10) < Number(values[0]);
  }
}
