import { isDeepStrictEqual } from 'node:util';
import { resources } from '../../crds/resources.js';
import type { StorageCluster, StorageClusterStatus } from '../../crds/storage-cluster.js';
import type { ConditionBoard, ReportedCondition } from '../condition-board.js';
import type { KubeObject, OperatorContext } from '../ports.js';
import { source, withTimes } from './status.js';

export type StatusFields = Omit<StorageClusterStatus, 'conditions' | 'observedGeneration'> & {
  readonly conditions: readonly ReportedCondition[];
};

/** The only one who writes the StorageCluster's status: see condition-board.ts. */
export class StatusWriter {
  constructor(
    private readonly context: OperatorContext,
    private readonly board: ConditionBoard,
  ) {}

  async write(cluster: StorageCluster, fields: StatusFields): Promise<void> {
    const before = cluster.status?.conditions ?? [];
    const conditions = [...fields.conditions, ...this.board.all()];
    await this.put(cluster, {
      ...fields,
      observedGeneration: cluster.metadata.generation ?? 0,
      conditions: withTimes(before, conditions, this.context.clock.timestamp()),
    });
  }

  /** Says one thing more and leaves all else as it stands. */
  async addCondition(cluster: StorageCluster, condition: ReportedCondition): Promise<void> {
    const before = cluster.status?.conditions ?? [];
    const reported = [condition, ...this.board.all()];
    const others = before.filter(({ type }) => !reported.some((one) => one.type === type));
    await this.put(cluster, {
      ...cluster.status,
      conditions: withTimes(
        before,
        [...others.map((one) => ({ ...one, source: one.source ?? source })), ...reported],
        this.context.clock.timestamp(),
      ),
    });
  }

  private async put(cluster: StorageCluster, status: StorageClusterStatus): Promise<void> {
    const plain = JSON.parse(JSON.stringify(status)) as StorageClusterStatus;
    if (isDeepStrictEqual(plain, cluster.status)) return;
    const { apiVersion, kind } = resources.storageCluster;
    const { name, namespace } = cluster.metadata;
    await this.context.kube.applyStatus<KubeObject & { status: StorageClusterStatus }>(
      resources.storageCluster,
      {
        apiVersion,
        kind,
        metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
        status: plain,
      },
    );
  }
}
