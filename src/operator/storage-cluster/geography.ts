/** Where a node stands, from its labels. */
export interface Geography {
  readonly zone: string;
  readonly region: string;
  readonly rack: string;
}

/** px' own labels first: a person sets them to correct what the cloud says. */
const lookUpOrder = {
  zone: [
    'topology.portworx.io/zone',
    'px/zone',
    'topology.kubernetes.io/zone',
    'failure-domain.beta.kubernetes.io/zone',
  ],
  region: [
    'topology.portworx.io/region',
    'px/region',
    'topology.kubernetes.io/region',
    'failure-domain.beta.kubernetes.io/region',
  ],
  rack: ['topology.portworx.io/rack', 'px/rack'],
} as const;

export function geographyOf(labels: Readonly<Record<string, string>>): Geography {
  const find = (keys: readonly string[]): string =>
    keys.map((key) => labels[key]).find((value) => value !== undefined && value !== '') ??
    'default';
  return {
    zone: find(lookUpOrder.zone),
    region: find(lookUpOrder.region),
    rack: find(lookUpOrder.rack),
  };
}
