import { PxError } from '../../../kernel/errors.js';
import { Status } from '../../protocol/ops.js';
import { closeFile } from '../../sys/files.js';
import { errnoName } from '../../sys/libc.js';
import type { AttachedVolumeStatus, EngineTiming } from '../api.js';
import { AttachedVolume } from './attached-volume.js';
import type { IoThreadContext } from './context.js';
import { fenceReplica } from './fence-replica.js';
import { openFuse, openNbd } from './frontends.js';
import type { ThreadMethod, ThreadMethods } from './messages.js';
import { RefusedVolume } from './refused-volume.js';
import { noSuchVolume, type ReplicaTable } from './replica-table.js';

type Params<M extends ThreadMethod> = ThreadMethods[M]['params'];
/** An error may come late, when nobody is there to catch it: then it is the result. */
type Done<M extends ThreadMethod> = (result: ThreadMethods[M]['result'] | PxError) => void;

/** What the main thread asks of this thread's volumes and replicas. */
export class ThreadCalls {
  private readonly volumes = new Map<string, AttachedVolume>();
  private readonly refused = new Map<string, RefusedVolume>();

  constructor(
    private readonly context: IoThreadContext,
    private readonly replicas: ReplicaTable,
    public timing: EngineTiming,
  ) {}

  volume(volumeId: string): AttachedVolume | undefined {
    return this.volumes.get(volumeId);
  }

  get allStarted(): boolean {
    return [...this.volumes.values()].every((volume) => !volume.isFrontendWaiting);
  }

  /** `done` is called once, now or later; throws PxError for what is refused at once. */
  call(method: ThreadMethod, params: unknown, done: (result: unknown) => void): void {
    switch (method) {
      case 'volume.start':
        return this.start(params as Params<typeof method>, done);
      case 'volume.fuse':
        return this.serveFuse(params as Params<typeof method>, done);
      case 'volume.refuse':
        return this.refuse(params as Params<typeof method>, done);
      case 'volume.nbd':
        return this.serveNbd(params as Params<typeof method>, done);
      case 'volume.closeFrontend':
        return this.closeFrontend(params as Params<typeof method>, done);
      case 'volume.end':
        return this.end(params as Params<typeof method>, done);
      case 'volume.status':
        return done(this.status((params as Params<typeof method>).volumeId));
      case 'volume.copy':
        return this.copy(params as Params<typeof method>, done);
      case 'volume.restore':
        return this.restore(params as Params<typeof method>, done);
      case 'volume.resize':
        return this.resize(params as Params<typeof method>, done);
      case 'volume.check':
        return this.check(params as Params<typeof method>, done);
      case 'replica.fence':
        return fenceReplica(
          { ...this.context, replicas: this.replicas, leaseMs: this.timing.leaseMs },
          params as Params<typeof method>,
          done,
        );
      case 'replica.close':
        return this.replicas.close((params as Params<typeof method>).volumeId, () => done({}));
      case 'replica.states':
        return done(this.replicas.states());
    }
  }

  private start(params: Params<'volume.start'>, done: Done<'volume.start'>): void {
    const { id } = params.record;
    if (this.volumes.has(id)) throw new PxError('internal', `volume ${id} has a coordinator`);
    const volume = new AttachedVolume(this.context, params, this.timing);
    this.volumes.set(id, volume);
    volume.begin();
    done({});
  }

  private serveFuse(params: Params<'volume.fuse'>, done: Done<'volume.fuse'>): void {
    const volume = this.volumes.get(params.volumeId);
    if (volume === undefined) {
      closeFile(params.fd);
      throw noSuchVolume(params.volumeId);
    }
    volume.setFrontend(openFuse(this.context, volume, params));
    done({});
  }

  private refuse(params: Params<'volume.refuse'>, done: Done<'volume.refuse'>): void {
    const { record } = params;
    const onGone = (): void => void this.refused.delete(record.id);
    this.refused.set(record.id, new RefusedVolume(this.context, params, onGone));
    done({});
  }

  private serveNbd(params: Params<'volume.nbd'>, done: Done<'volume.nbd'>): void {
    const volume = this.mustHave(params.volumeId);
    volume.setFrontend(openNbd(this.context, volume, params.socketPath));
    done({ uri: volume.nbdUri });
  }

  private closeFrontend(
    { volumeId }: Params<'volume.closeFrontend'>,
    done: Done<'volume.closeFrontend'>,
  ): void {
    this.volumes.get(volumeId)?.closeFrontend();
    this.refused.get(volumeId)?.close();
    this.refused.delete(volumeId);
    done({});
  }

  private end({ volumeId, force }: Params<'volume.end'>, done: Done<'volume.end'>): void {
    const volume = this.volumes.get(volumeId);
    if (volume === undefined) return done({});
    volume.end(force, () => {
      this.volumes.delete(volumeId);
      done({});
    });
  }

  private status(volumeId: string): AttachedVolumeStatus {
    const status = this.volumes.get(volumeId)?.status() ?? this.refused.get(volumeId)?.status();
    if (status === undefined) throw noSuchVolume(volumeId);
    return status;
  }

  private copy(params: Params<'volume.copy'>, done: Done<'volume.copy'>): void {
    const { volumeId, targetVolumeId, replicas } = params;
    const pairs = new Map(Object.entries(replicas));
    this.mustHave(volumeId).copy(targetVolumeId, pairs, (status, copied) => {
      done(status === Status.ok ? { copied } : failed(`copying volume ${volumeId}`, status));
    });
  }

  private restore(params: Params<'volume.restore'>, done: Done<'volume.restore'>): void {
    const { volumeId, sourceVolumeId, replicaIds } = params;
    this.mustHave(volumeId).restore(sourceVolumeId, replicaIds, (status) => {
      done(status === Status.ok ? {} : failed(`restoring volume ${volumeId}`, status));
    });
  }

  private resize(params: Params<'volume.resize'>, done: Done<'volume.resize'>): void {
    const { volumeId, sizeBytes } = params;
    this.mustHave(volumeId).resize(sizeBytes, (status) => {
      done(status === Status.ok ? {} : failed(`resizing volume ${volumeId}`, status));
    });
  }

  private check({ volumeId }: Params<'volume.check'>, done: Done<'volume.check'>): void {
    this.mustHave(volumeId).check((result) => {
      if (result.status !== Status.ok) {
        done(failed(`checking volume ${volumeId}`, result.status));
        return;
      }
      const { bytesCompared, replicas } = result;
      const differences = result.differences.map(({ offset, length, digests }) => ({
        offset,
        length,
        digests: digests.map((digest) => Buffer.from(digest).toString('hex')),
      }));
      done({ bytesCompared, replicas, differences });
    });
  }

  private mustHave(volumeId: string): AttachedVolume {
    const volume = this.volumes.get(volumeId);
    if (volume === undefined) throw noSuchVolume(volumeId);
    return volume;
  }
}

function failed(what: string, status: number): PxError {
  if (status === Status.fenced) return new PxError('fenced', `${what}: a newer epoch exists`);
  return new PxError('io_error', `${what} failed: ${errnoName(status)}`);
}
