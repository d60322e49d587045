import type { VolumeRecord } from '../../../kernel/volume-record.js';
import { FuseFrontend } from '../../frontend/fuse/fuse-frontend.js';
import type { VolumeTarget } from '../../io/ports.js';
import { Status } from '../../protocol/ops.js';
import { closeFile } from '../../sys/files.js';
import type { AttachedVolumeStatus } from '../api.js';
import type { ThreadMethods } from './messages.js';
import type { IoThreadContext } from './context.js';

type Refusal = ThreadMethods['volume.refuse']['params'];

/**
 * A FUSE file that is still held here although somebody else owns the volume:
 * whatever asks it gets an I/O error until it is detached, because an answer
 * could be stale and silence would hang its users for ever.
 */
export class RefusedVolume implements VolumeTarget {
  private readonly frontend: FuseFrontend;
  private readonly record: VolumeRecord;

  constructor(
    private readonly context: IoThreadContext,
    private readonly refusal: Refusal,
    onGone: () => void,
  ) {
    const { loop, slots, unanswered } = context;
    const { record, fd, mountToken } = refusal;
    this.record = record;
    const { id: volumeId, sizeBytes, spec, readOnly } = record;
    const options = { volumeId, sizeBytes, blockSizeBytes: spec.blockSizeBytes, readOnly };
    this.frontend = new FuseFrontend({
      ...{ loop, slots, fd, target: this, options, mountToken, onGone },
      ...(unanswered === undefined ? {} : { unanswered }),
    });
    this.frontend.start();
  }

  submit(slot: number): void {
    // Not from within the frontend's own call.
    this.context.outbox.defer(() => this.frontend.complete(slot, Status.ioError));
  }

  close(): void {
    this.frontend.close();
    this.context.whenIdle(this.frontend, () => closeFile(this.refusal.fd));
  }

  status(): AttachedVolumeStatus {
    return {
      volumeId: this.record.id,
      epoch: this.record.epoch,
      phase: 'fenced',
      reason: this.refusal.reason,
      devicePath: '',
      nbdUri: '',
      frontend: 'fuse',
      readOnly: true,
      replicas: this.record.replicas.map(({ id, nodeId, state }) => ({
        replicaId: id,
        nodeId,
        state,
        connected: false,
        reason: this.refusal.reason,
        resyncBytesDone: 0,
        resyncBytesTotal: 0,
        resyncBytesCopied: 0,
      })),
      stats: {
        reads: 0,
        writes: 0,
        flushes: 0,
        discards: 0,
        readBytes: 0,
        writeBytes: 0,
        inFlight: this.frontend.inFlight,
      },
    };
  }
}
