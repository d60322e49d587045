import type { KubernetesCluster } from '../cluster/cluster.js';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface CaseHelpers {
  /** The repository. */
  readonly rootDir: string;
  /** A namespace of the case's own: there before it runs, removed after it. */
  readonly namespace: string;
  /** Where the case may leave what a person would look at after a failure. */
  readonly artifactDir: string;
  /** Ends when the case has used up its time. */
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
  /** Runs a part of the case, and says how long it took. */
  readonly step: <T>(name: string, act: () => Promise<T>) => Promise<T>;
}

/** One test on a real Kubernetes. */
export interface KubernetesCase {
  readonly name: string;
  readonly timeoutMs: number;
  /** Of test/kubernetes/images, loaded into each node before the case runs. */
  readonly images: readonly string[];
  /** Throws when it fails. A case that ran a suite of others returns their number. */
  run(cluster: KubernetesCluster, helpers: CaseHelpers): Promise<Counts | void>;
}
