import type { MatchExpression } from '../../kernel/storage-policy.js';

/** A place in the words of whoever asks: every spelling of a level that is in use. */
const levels: Readonly<Record<string, 'node' | 'zone' | 'region' | 'rack'>> = {
  node: 'node',
  'kubernetes.io/hostname': 'node',
  'topology.portworx.io/node': 'node',
  'topology.pxd.portworx.com/node': 'node',
  zone: 'zone',
  'topology.portworx.io/zone': 'zone',
  'topology.pxd.portworx.com/zone': 'zone',
  'px/zone': 'zone',
  'topology.kubernetes.io/zone': 'zone',
  'failure-domain.beta.kubernetes.io/zone': 'zone',
  region: 'region',
  'topology.portworx.io/region': 'region',
  'topology.pxd.portworx.com/region': 'region',
  'px/region': 'region',
  'topology.kubernetes.io/region': 'region',
  'failure-domain.beta.kubernetes.io/region': 'region',
  rack: 'rack',
  'topology.portworx.io/rack': 'rack',
  'px/rack': 'rack',
};

export interface PlacedNode {
  readonly id: string;
  readonly name: string;
  readonly zone: string;
  readonly region: string;
  readonly rack: string;
  readonly labels: Readonly<Record<string, string>>;
}

export function levelOf(key: string): 'node' | 'zone' | 'region' | 'rack' | undefined {
  return Object.hasOwn(levels, key) ? levels[key] : undefined;
}

/**
 * The domain of the node under a topology key: nodes with the same answer are
 * in one place. Zones of one name in two regions are two zones. Undefined when
 * the node has no such label: it is in no domain.
 */
export function domainOf(node: PlacedNode, key: string): string | undefined {
  switch (levelOf(key)) {
    case 'node':
      return node.id;
    case 'region':
      return node.region;
    case 'zone':
      return `${node.region}/${node.zone}`;
    case 'rack':
      return `${node.region}/${node.zone}/${node.rack}`;
    case undefined:
      return node.labels[key];
  }
}

/** All expressions must hold, as in a Kubernetes label selector. */
export function nodeMatchesAll(node: PlacedNode, expressions: readonly MatchExpression[]): boolean {
  return expressions.every((expression) => matches(expression, valuesOf(node, expression.key)));
}

export function labelsMatchAll(
  labels: Readonly<Record<string, string>>,
  expressions: readonly MatchExpression[],
): boolean {
  return expressions.every((expression) => {
    const value = Object.hasOwn(labels, expression.key) ? labels[expression.key] : undefined;
    return matches(expression, value === undefined ? [] : [value]);
  });
}

/** A node answers to its id and to its name; a label that it does not have is no value. */
function valuesOf(node: PlacedNode, key: string): readonly string[] {
  const level = levelOf(key);
  if (level === 'node') return [node.id, node.name];
  const value = level === undefined ? node.labels[key] : node[level];
  return value === undefined ? [] : [value];
}

function matches({ operator, values = [] }: MatchExpression, is: readonly string[]): boolean {
  switch (operator) {
    case 'In':
      return is.some((value) => values.includes(value));
    case 'NotIn':
      return !is.some((value) => values.includes(value));
    case 'Exists':
      return is.length > 0;
    case 'DoesNotExist':
      return is.length === 0;
    case 'Lt':
      return is.some((value) => wholeNumber(value) < wholeNumber(values[0]));
    case 'Gt':
      return is.some((value) => wholeNumber(value) > wholeNumber(values[0]));
  }
}

/** NaN compares as false with everything: what is no number is neither less nor greater. */
function wholeNumber(text: string | undefined): number {
  return text !== undefined && /^-?\d{1,15}$/.test(text) ? Number(text) : NaN;
}
