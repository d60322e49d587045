import { resources } from '../../crds/resources.js';
import type { StorageCluster } from '../../crds/storage-cluster.js';
import { toPxError } from '../../kernel/errors.js';
import { activeCluster } from '../active-cluster.js';
import { conditionBoard } from '../condition-board.js';
import type {
  Controller,
  KubeCache,
  KubeObject,
  OperatorContext,
  ReconcileResult,
  SetUpController,
} from '../ports.js';
import { pxView } from '../px-view.js';
import { driverName } from '../storage-cluster/names.js';
import type { PersistentVolume } from '../workloads.js';
import {
  countByHealth,
  healthChanges,
  noteOf,
  volumesHealth,
  type Health,
  type VolumeHealth,
} from './changes.js';

const key = 'cluster';
const relaxedMs = 45_000;
const silentMs = 10_000;
/** A node that comes or goes changes many volumes: the list of a moment ago would not show it. */
const maxAgeMs = 2_000;
/** px takes a moment to take a lost node's replicas out. */
const settleMs = 10_000;

/**
 * Tells the owners of claims how their volumes are, by Events: what the
 * external health monitor does for drivers that have no operator.
 */
export const setUpVolumeHealth: SetUpController = (context, enqueue) => {
  const clusters = context.cache<StorageCluster>(resources.storageCluster);
  clusters.onChange(() => enqueue(key));
  const controller = new VolumeHealthController(context, clusters);
  pxView(context).onNodesChange(() => {
    controller.lookAgain();
    enqueue(key);
  });
  return controller;
};

class VolumeHealthController implements Controller {
  readonly name = 'volume-health';
  readonly #context: OperatorContext;
  readonly #clusters: KubeCache<StorageCluster>;
  /** After a restart what is still bad is said once more; Events count repeats. */
  #known: ReadonlyMap<string, Health> = new Map();

  #settling = false;

  constructor(context: OperatorContext, clusters: KubeCache<StorageCluster>) {
    this.#context = context;
    this.#clusters = clusters;
  }

  /** The nodes changed: what that does to volumes shows with the next pass, or the one after. */
  lookAgain(): void {
    this.#settling = true;
  }

  async reconcile(): Promise<ReconcileResult> {
    const cluster = activeCluster(this.#clusters);
    if (cluster === undefined || cluster.metadata.deletionTimestamp !== undefined) return undefined;
    const seen = await this.#look();
    if (seen === undefined) return { requeueAfterMs: silentMs };
    const [volumes, nodes] = seen;
    const settling = this.#settling;
    this.#settling = false;
    const health = volumesHealth(volumes, nodes);
    const changes = healthChanges(this.#known, health);
    if (changes.length > 0) await this.#tell(changes);
    // After the Events: a pass that failed is repeated as a whole.
    this.#known = new Map(health.map((volume) => [volume.id, volume.health]));
    this.#report(health);
    return { requeueAfterMs: settling ? settleMs : relaxedMs };
  }

  /** Undefined while px does not answer: that is shown by its nodes, and nothing is said of volumes. */
  async #look() {
    const view = pxView(this.#context);
    try {
      return [await view.volumes(maxAgeMs), await view.nodes(relaxedMs)] as const;
    } catch (thrown) {
      this.#context.logger.debug('px does not list its volumes', {
        error: toPxError(thrown).message,
      });
      return undefined;
    }
  }

  async #tell(changes: readonly VolumeHealth[]): Promise<void> {
    const { kube, events, logger } = this.#context;
    const volumes = await kube.list<PersistentVolume>(resources.persistentVolume);
    const byHandle = new Map(
      volumes
        .filter(({ spec }) => spec?.csi?.driver === driverName)
        .map((volume) => [volume.spec?.csi?.volumeHandle, volume]),
    );
    for (const change of changes) {
      const note = noteOf(change);
      const { id, name, health, reason } = change;
      logger.info('the health of a volume changed', { id, name, health, reason });
      const volume = byHandle.get(id);
      if (volume === undefined) continue;
      events.note(claimOf(volume) ?? volume, note);
    }
  }

  #report(health: readonly VolumeHealth[]): void {
    this.#context.gauges.volumes(countByHealth(health));
    const bad = health.filter((volume) => volume.health !== 'well');
    const some = bad.slice(0, 10).map(({ name, health: how }) => `${name} is ${how}`);
    const more = bad.length > some.length ? `; and ${bad.length - some.length} more` : '';
    conditionBoard(this.#context).report({
      source: 'VolumeHealth',
      type: 'VolumesHealthy',
      status: bad.length === 0 ? 'True' : 'False',
      reason: bad.length === 0 ? 'Healthy' : 'Unhealthy',
      message: bad.length === 0 ? '' : `${some.join('; ')}${more}`,
    });
  }
}

function claimOf({ spec }: PersistentVolume): KubeObject | undefined {
  const claim = spec?.claimRef;
  if (claim?.name === undefined) return undefined;
  const { name, namespace = 'default', uid } = claim;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace, ...(uid === undefined ? {} : { uid }) },
  };
}
