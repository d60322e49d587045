import { toPxError } from '../../kernel/errors.js';
import { delay } from '../../platform/monotonic.js';
import { findVolume } from '../px-volumes.js';
import { ownNodeId, type NodeContext } from './context.js';
import { listStages, type KubeletStage } from './kubelet-stages.js';
import { removeStage } from './stage.js';

const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

/**
 * A kubelet that dies between the end of a pod and its call of NodeUnstageVolume
 * has forgotten the volume when it is back: it looks for volumes of pods, and
 * there is none left. The volume would stay mounted and attached, and could
 * neither be used elsewhere nor be deleted. So we unstage it ourselves, once it
 * is reserved for this node no more: the attach-detach controller has seen then
 * that nobody here uses it, and the kubelet stages nothing that is not attached.
 */
export class AbandonedStages {
  private readonly context: NodeContext;
  private readonly kubeletRoot: string;
  private readonly driverName: string;
  /** Ends the watch that an earlier start of the kubelet began. */
  private watching = new AbortController();

  /** `kubeletRoot` is the kubelet's directory, `/var/lib/kubelet` as a rule. */
  constructor(context: NodeContext, kubeletRoot: string, driverName: string) {
    this.context = context;
    this.kubeletRoot = kubeletRoot;
    this.driverName = driverName;
  }

  /** To be called when the kubelet has started: looks until every stage has a pod, or is gone. */
  clear(signal: AbortSignal): void {
    this.watching.abort();
    this.watching = new AbortController();
    void this.watch(AbortSignal.any([signal, this.watching.signal]));
  }

  private async watch(signal: AbortSignal): Promise<void> {
    let pauseMs = firstPauseMs;
    while (!signal.aborted && (await this.look()) > 0) {
      // Nothing tells us of the reservation's end.
      await delay(pauseMs);
      pauseMs = Math.min(2 * pauseMs, longestPauseMs);
    }
  }

  /** Clears what is abandoned, and answers how many stages may still turn out to be. */
  async look(): Promise<number> {
    const { context, kubeletRoot, driverName } = this;
    const stages = await listStages(context, kubeletRoot, driverName).catch((thrown: unknown) => {
      const reason = toPxError(thrown).message;
      context.logger.warn('the stages of the kubelet are not known', { kubeletRoot, reason });
      return undefined;
    });
    if (stages === undefined) return 1;
    const kept = await Promise.all(
      stages.map((stage) =>
        this.clearStage(stage).catch((thrown: unknown) => {
          const { path } = stage;
          const reason = toPxError(thrown).message;
          context.logger.warn('a stage without pod is not cleared', { path, reason });
          return true;
        }),
      ),
    );
    return kept.filter((each) => each).length;
  }

  /** Whether it has to be looked at again. */
  private async clearStage(stage: KubeletStage): Promise<boolean> {
    const { context } = this;
    const { volumeId, path } = stage;
    if (await stage.isInUse()) return false;
    return context.locks.run(volumeId, 'clearing what the kubelet forgot', async () => {
      const volume = await findVolume(context.px, volumeId);
      if (volume !== undefined && volume.published_on === (await ownNodeId(context))) return true;
      await stage.unpublish();
      await removeStage(context, volume, path);
      await stage.forget();
      context.logger.info('a stage that the kubelet forgot is cleared', { volumeId, path });
      return false;
    });
  }
}
