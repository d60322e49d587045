/**
 * A storage policy: what an administrator demands of volumes. This is the form
 * in which the StoragePolicy custom resource, `pxctl storage-policy` and the
 * data plane (etcd: `pwx/<clusterid>/policies/<name>`, as JSON) have it.
 * Sizes are bytes, times are UTC.
 */
export type PolicyOperator = 'Equal' | 'Minimum' | 'Maximum';

export interface NumberRule {
  readonly value: number;
  readonly operator: PolicyOperator;
}

export interface PolicyVolumeRules {
  readonly replication?: NumberRule;
  readonly sizeBytes?: NumberRule;
  readonly ioPriority?: 'high' | 'medium' | 'low';
  readonly ioProfile?: string;
  readonly aggregationLevel?: number;
  readonly sticky?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
}

export type MatchOperator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Lt' | 'Gt';

export interface MatchExpression {
  readonly key: string;
  readonly operator: MatchOperator;
  readonly values?: readonly string[];
}

/**
 * Where replicas may lie. A topology key is `node`, `zone`, `region`, `rack`,
 * the Kubernetes label of one of these, or any label of the node.
 */
export interface AffinityRule {
  readonly enforcement: 'required' | 'preferred';
  /** 1 to 100 (100): how much a preferred rule counts. */
  readonly weight?: number;
  readonly topologyKey?: string;
  /** On the labels of nodes for replica rules, of volumes for volume rules. */
  readonly matchExpressions?: readonly MatchExpression[];
}

export interface PolicyPlacement {
  readonly replicaAffinity?: readonly AffinityRule[];
  readonly replicaAntiAffinity?: readonly AffinityRule[];
  readonly volumeAffinity?: readonly AffinityRule[];
  readonly volumeAntiAffinity?: readonly AffinityRule[];
}

export type Weekday =
  'sunday' | 'monday' | 'tuesday' | 'wednesday' | 'thursday' | 'friday' | 'saturday';

/** Times are `HH:MM`, UTC; `retain` is how many snapshots stay. */
export interface SnapshotSchedule {
  readonly interval?: { readonly intervalMinutes: number; readonly retain?: number };
  readonly daily?: { readonly time: string; readonly retain?: number };
  readonly weekly?: { readonly day: Weekday; readonly time: string; readonly retain?: number };
  readonly monthly?: { readonly date: number; readonly time: string; readonly retain?: number };
}

export interface StoragePolicy {
  /** Governs every volume that names no policy; at most one policy may. */
  readonly default: boolean;
  /** Coerce changes what a request asks to what the rules allow; Reject refuses it. */
  readonly enforcement: 'Coerce' | 'Reject';
  /** Whether a change of the policy is applied to the volumes that live already. */
  readonly allowUpdate: boolean;
  readonly volume: PolicyVolumeRules;
  readonly placement: PolicyPlacement;
  readonly snapshotSchedule?: SnapshotSchedule;
}
