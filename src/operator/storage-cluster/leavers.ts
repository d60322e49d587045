import { wipeJob } from './components/wiper.js';
import { hasStoragePod } from './deletion.js';
import {
  isNodeReady,
  type Job,
  type KubeNode,
  type Manifest,
  type Pod,
} from './kubernetes-types.js';
import type { Plan } from './plan.js';

/**
 * What ends px on the nodes that were decommissioned: holder and engine outlive
 * the pod of px-node on purpose, and nobody else is left there to end them.
 */
export interface LeaverJobs {
  /** There, or to be made later: none of them is superfluous. */
  readonly kept: readonly Manifest[];
  /** To be made now. A Job's pod can't be changed, so none that is there is applied again. */
  readonly made: readonly Manifest[];
}

export function leaverJobs(
  plan: Plan,
  {
    jobs,
    pods,
    nodes,
  }: {
    readonly jobs: readonly Job[];
    readonly pods: readonly Pod[];
    readonly nodes: readonly KubeNode[];
  },
): LeaverJobs {
  const kept = plan.leavers.map(({ node, wipe }) => ({
    node,
    job: wipeJob(plan, { node, onlyStop: !wipe, devices: wipe, kvdbKeys: false }),
  }));
  const mayStart = (name: string): boolean =>
    !hasStoragePod(pods, name) &&
    nodes.some((node) => node.metadata.name === name && isNodeReady(node));
  return {
    kept: kept.map(({ job }) => job),
    made: kept
      .filter(({ job }) => !jobs.some(({ metadata }) => metadata.name === job.metadata.name))
      .filter(({ node }) => mayStart(node))
      .map(({ job }) => job),
  };
}
