/**
 * Names on objects that several controllers of the operator, or people, set.
 * What only the components use is in storage-cluster/names.ts.
 */

/**
 * Kubernetes' own taint for a node that will not come back by itself. Its key
 * alone is what the attach-detach controller and the pod garbage collector look
 * at; the value tells whose taint it is.
 *
 * The DaemonSets px-node and px-csi-node must tolerate it (operator Exists,
 * effect NoExecute): the taint is taken away when px on the node answers again,
 * and without the toleration px could not start there as long as it is tainted.
 */
export const outOfServiceTaint = {
  key: 'node.kubernetes.io/out-of-service',
  value: 'px',
  effect: 'NoExecute',
} as const;

export const nodeLabels = {
  /**
   * On a Kubernetes node whose px node was decommissioned: "true", or `wipeMark`. The DaemonSets
   * px-node and px-csi-node exclude it by their node affinity, so that px does
   * not join again by itself; px/enabled stays the user's.
   */
  decommissioned: 'px.io/decommissioned',
} as const;

/** The value of that label that a person gives: what px has on the node is to be removed. */
export const wipeMark = 'wipe';

export const nodeAnnotations = {
  /** Set by the operator on a node that it fenced: why ("dead", "unreachable", "taint"). */
  fenced: 'px.io/fenced',
} as const;

/** What a person writes on a StorageNode. */
export const storageNodeAnnotations = {
  /** "true": move every replica away, then forget the node. Taking it away cancels. */
  decommission: 'px.io/decommission',
  /** "true": move every replica away; the node stays a member. */
  drainReplicas: 'px.io/drain-replicas',
  /** "true": nothing new is placed on the node. */
  maintenance: 'px.io/maintenance',
} as const;

/** What a person writes on the StorageCluster. */
export const clusterAnnotations = {
  /** "true": outdated px-node pods stay as they are. */
  pauseRollout: 'px.io/pause-rollout',
  /** Seconds without a renewed kubelet lease after which a node may count as dead. */
  failoverSeconds: 'px.io/failover-seconds',
  /** "false": no node is failed over by itself; the out-of-service taint still works. */
  failover: 'px.io/failover',
  /** "true": fail over a node also when only its kubelet is silent and px on it is well. */
  failoverWhenUnreachable: 'px.io/failover-when-unreachable',
} as const;
