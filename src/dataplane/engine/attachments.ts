import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { Logger } from '../../platform/logger.js';
import { delay } from '../../platform/monotonic.js';
import { parseVolumeRecord } from '../cluster/volume-repository.js';
import type { NbdDevices } from '../frontend/nbd-device.js';
import type { FetchedVolume, HolderClient } from '../holder/holder-client.js';
import type { KvKeys, Kvdb } from '../kvdb/port.js';
import type { RecordOutcome } from '../protocol/ports.js';
import type { RecordUpdater } from '../protocol/record-updater.js';
import { closeFile } from '../sys/files.js';
import type { AttachedVolumeStatus, AttachResult, EngineMethods } from './api.js';
import type { NbdEntry, NbdList } from './nbd-list.js';
import { PhaseWaiters } from './phase-waiters.js';
import type { ThreadHandle } from './thread-handle.js';

export interface AttachmentsDeps {
  readonly nodeId: string;
  readonly runDir: string;
  readonly keys: KvKeys;
  readonly updater: RecordUpdater;
  /** Absent where nothing is held (no FUSE): only NBD and internal attachments then. */
  readonly holder: HolderClient | undefined;
  readonly nbdList: NbdList;
  readonly nbdDevices: NbdDevices;
  readonly log: Logger;
  kvdb(): Kvdb;
  thread(volumeId: string): ThreadHandle;
}

type FrontendKind = AttachedVolumeStatus['frontend'];
type AttachParams = EngineMethods['volume.attach']['params'];

interface Attachment {
  readonly token: string;
  readonly frontend: FrontendKind;
  readonly readOnly: boolean;
  devicePath: string;
  nbdUri: string;
  status: AttachedVolumeStatus | undefined;
  /** Somebody else owns the volume; only its held FUSE file is left here. */
  readonly refused: boolean;
  ready: boolean;
}

/** An attach that takes longer says what it waits for, and goes on behind its back. */
const serveTimeoutMs = 20_000;
const readoptRetryMs = 2_000;

/**
 * Which volumes are attached here, and how they come and go. One operation on
 * a volume at a time; a repeated one joins what is under way.
 */
export class Attachments {
  private readonly table = new Map<string, Attachment>();
  private readonly busy = new Map<string, Promise<unknown>>();
  private readonly waiters = new PhaseWaiters();

  constructor(private readonly deps: AttachmentsDeps) {}

  volumeIds(): IterableIterator<string> {
    return this.table.keys();
  }

  onState(status: AttachedVolumeStatus): void {
    const attachment = this.table.get(status.volumeId);
    if (attachment === undefined) return;
    const before = attachment.status?.phase;
    attachment.status = status;
    if (before !== status.phase) {
      const { volumeId, epoch, phase, reason } = status;
      this.deps.log.info('a volume changed its phase', { volumeId, epoch, phase, reason });
    }
    this.waiters.onState(status);
  }

  attach(params: AttachParams): Promise<AttachResult> {
    return this.alone(params.volumeId, () => this.attachAlone(params));
  }

  detach(volumeId: string, force: boolean): Promise<void> {
    return this.alone(volumeId, () => this.detachAlone(volumeId, force));
  }

  async status(volumeId: string): Promise<AttachedVolumeStatus> {
    const status = await this.deps.thread(volumeId).call('volume.status', { volumeId });
    const attachment = this.table.get(volumeId);
    const devicePath = attachment?.devicePath ?? '';
    // A thread serves NBD and does not know whether the kernel is its client.
    const isDevice = attachment?.frontend === 'nbd-device' && status.frontend === 'nbd';
    return { ...status, devicePath, ...(isDevice ? { frontend: 'nbd-device' } : {}) };
  }

  async statuses(): Promise<AttachedVolumeStatus[]> {
    const all = [...this.table.keys()].map((volumeId) =>
      this.status(volumeId).catch(() => undefined),
    );
    return (await Promise.all(all)).filter((status) => status !== undefined);
  }

  /** After the coordinator allows the new size: the device follows. */
  async resizeDevice(volumeId: string, sizeBytes: number): Promise<void> {
    const frontend = this.table.get(volumeId)?.frontend;
    if (frontend === 'nbd-device') await this.deps.nbdDevices.resize(volumeId, sizeBytes);
    if (frontend !== 'fuse') return;
    await this.deps.holder?.call('device.resize', { volumeId, sizeBytes });
  }

  /** Takes over what an earlier engine served; each as soon as the store answers. */
  async adopt(held: readonly FetchedVolume[], previousOwnerDead: boolean): Promise<void> {
    const adopting = held.map((volume) =>
      this.alone(volume.volumeId, () => this.adoptAlone(volume, previousOwnerDead)).catch(
        (error: unknown) => {
          this.deps.log.error('a held volume cannot be taken over', {
            volumeId: volume.volumeId,
            error: String(error),
          });
        },
      ),
    );
    await Promise.all(adopting);
  }

  /** Serves over NBD what the engine before this one did, unless it was attached elsewhere. */
  async readopt(): Promise<void> {
    const served = this.deps.nbdList.entries();
    // The kernel knows better which devices there are: their I/O waits for us.
    for (const { volumeId, readOnly } of this.deps.nbdDevices.list()) {
      served.set(volumeId, { readOnly, frontend: 'nbd-device' });
    }
    const all = [...served].map(([volumeId, entry]) => this.readoptOne(volumeId, entry));
    await Promise.all(all);
  }

  private async readoptOne(volumeId: string, { frontend, readOnly }: NbdEntry): Promise<void> {
    const { log, nbdList, nbdDevices, nodeId } = this.deps;
    for (;;) {
      const record = await this.readRecordPatiently(volumeId);
      try {
        if (record?.attachedOn === nodeId) {
          await this.attach({ volumeId, frontend, readOnly });
        } else {
          // Somebody else has the volume: who waits for the device must learn it.
          await nbdDevices.detach(volumeId, true);
          nbdList.remove(volumeId);
        }
        return;
      } catch (error) {
        log.warn('a volume is not served over NBD again', { volumeId, error: String(error) });
        // A device has users who wait. Other volumes are tried again by whoever asks for them.
        if (nbdDevices.find(volumeId) === undefined) return;
        await delay(readoptRetryMs);
      }
    }
  }

  private async attachAlone(params: AttachParams): Promise<AttachResult> {
    const { volumeId, frontend, readOnly } = params;
    let attachment = this.table.get(volumeId);
    if (attachment !== undefined) {
      const { status } = attachment;
      if (attachment.refused || status?.phase === 'fenced') {
        throw new PxError(
          'fenced',
          `volume ${volumeId} was taken over by another node: detach it here first`,
        );
      }
      const same = attachment.frontend === frontend && attachment.readOnly === readOnly;
      if (!same) {
        throw new PxError(
          'failed_precondition',
          `volume ${volumeId} is attached with frontend ${attachment.frontend}, ` +
            (attachment.readOnly ? 'read-only' : 'writable'),
        );
      }
    } else {
      if (frontend === 'nbd-device') this.deps.nbdDevices.requireModule();
      const record = await this.readRecord(volumeId);
      const dead = record.attachedOn === this.deps.nodeId && this.deps.holder !== undefined;
      attachment = await this.begin(record, { frontend, readOnly, previousOwnerDead: dead });
    }
    if (!attachment.ready) {
      await this.openFrontend(volumeId, attachment);
      attachment.ready = true;
    }
    const status = await this.status(volumeId);
    const { sizeBytes } = await this.readRecord(volumeId);
    const { devicePath, nbdUri } = attachment;
    return { epoch: status.epoch, sizeBytes, devicePath, nbdUri };
  }

  /** Owns the volume in the key-value store, and has a coordinator for it. */
  private async begin(
    seen: VolumeRecord,
    options: { frontend: FrontendKind; readOnly: boolean; previousOwnerDead: boolean },
  ): Promise<Attachment> {
    const { id: volumeId, epoch: seenEpoch } = seen;
    const { nodeId } = this.deps;
    const { frontend, readOnly, previousOwnerDead } = options;
    const token = randomUUID();
    const outcome = await this.change(volumeId, token, seenEpoch);
    if (outcome.result === 'fenced') {
      throw new PxError('aborted', `volume ${volumeId} was attached elsewhere at the same moment`);
    }
    if (outcome.result === 'refused' || outcome.record === undefined) {
      throw new PxError(
        'failed_precondition',
        `volume ${volumeId} cannot be attached: it is ${outcome.record?.lifecycle ?? 'gone'}`,
      );
    }
    const { record } = outcome;
    this.deps.log.info('a volume is ours', { volumeId, epoch: record.epoch, nodeId });
    const attachment: Attachment = {
      token,
      frontend,
      readOnly,
      devicePath: '',
      nbdUri: '',
      status: undefined,
      refused: false,
      ready: false,
    };
    this.table.set(volumeId, attachment);
    const start = { record, token, previousOwnerDead, readOnly };
    await this.deps.thread(volumeId).call('volume.start', start);
    return attachment;
  }

  private change(volumeId: string, token: string, seenEpoch: number): Promise<RecordOutcome> {
    const { nodeId } = this.deps;
    return new Promise((resolve) => {
      const change = { type: 'attach', nodeId, token, seenEpoch } as const;
      this.deps.updater.request(volumeId, change, resolve);
    });
  }

  private async openFrontend(volumeId: string, attachment: Attachment): Promise<void> {
    const thread = this.deps.thread(volumeId);
    const { frontend, readOnly } = attachment;
    if (frontend === 'nbd' || frontend === 'nbd-device') {
      const socketPath = this.nbdSocketPath(volumeId);
      if (attachment.nbdUri === '') {
        this.deps.nbdList.add(volumeId, { readOnly, frontend });
        attachment.nbdUri = (await thread.call('volume.nbd', { volumeId, socketPath })).uri;
      }
      // What is left of an engine before: its users wait, for however long the volume does.
      if (this.deps.nbdDevices.find(volumeId) !== undefined) {
        await this.openNbdDevice(volumeId, attachment);
      }
    }
    if (frontend === 'fuse') {
      const { holder } = this.deps;
      if (holder === undefined) {
        throw new PxError('failed_precondition', 'no holder runs here: only NBD is possible');
      }
      const status = await this.status(volumeId);
      if (status.frontend === 'none') {
        const { ownFd, mountToken } = await holder.hold(volumeId, { readOnly });
        await thread.call('volume.fuse', { volumeId, fd: ownFd, mountToken });
      }
    }
    await this.waitUntilServing(volumeId);
    const lacksDevice = frontend === 'nbd-device' && attachment.devicePath === '';
    if (lacksDevice) await this.openNbdDevice(volumeId, attachment);
    if (frontend !== 'fuse' || this.deps.holder === undefined) return;
    const { spec, readOnly: recordReadOnly } = await this.readRecord(volumeId);
    const device = await this.deps.holder.call('device.attach', {
      volumeId,
      blockSizeBytes: spec.blockSizeBytes,
      readOnly: readOnly || recordReadOnly,
      discard: !spec.noDiscard,
    });
    attachment.devicePath = device.devicePath;
  }

  private async openNbdDevice(volumeId: string, attachment: Attachment): Promise<void> {
    const { spec } = await this.readRecord(volumeId);
    const device = await this.deps.nbdDevices.attach({
      volumeId,
      socketPath: this.nbdSocketPath(volumeId),
      blockSizeBytes: spec.blockSizeBytes,
      discard: !spec.noDiscard,
    });
    attachment.devicePath = device.path;
  }

  private nbdSocketPath(volumeId: string): string {
    return join(this.deps.runDir, `nbd-${volumeId}.sock`);
  }

  private async waitUntilServing(volumeId: string): Promise<void> {
    const now = await this.status(volumeId);
    const status = now.phase === 'serving' ? now : await this.waiters.wait(now, serveTimeoutMs);
    if (status.phase === 'serving') return;
    if (status.phase === 'fenced') {
      throw new PxError('fenced', `volume ${volumeId} was attached elsewhere: ${status.reason}`);
    }
    throw new PxError('unavailable', `volume ${volumeId} is ${status.phase}: ${status.reason}`);
  }

  private async detachAlone(volumeId: string, force: boolean): Promise<void> {
    const { holder } = this.deps;
    const thread = this.deps.thread(volumeId);
    // From the device down, so that nothing is asked of what is gone already.
    await this.deps.nbdDevices.detach(volumeId, force);
    if (holder !== undefined) {
      await holder.call('device.detach', { volumeId, force });
      await holder.call('volume.release', { volumeId, force });
    }
    await thread.call('volume.closeFrontend', { volumeId });
    this.deps.nbdList.remove(volumeId);
    await thread.call('volume.end', { volumeId, force });
    this.table.delete(volumeId);
    this.waiters.drop(volumeId);
  }

  /** The engine before this one may have been killed in the middle of anything. */
  private async adoptAlone(volume: FetchedVolume, previousOwnerDead: boolean): Promise<void> {
    const { volumeId, ownFd, settings, devicePath } = volume;
    const record = await this.readRecordPatiently(volumeId);
    const readOnly = settings['readOnly'] === true;
    if (record?.attachedOn !== this.deps.nodeId) {
      await this.refuse(volume, record);
      return;
    }
    const options = { frontend: 'fuse', readOnly, previousOwnerDead } as const;
    let attachment: Attachment;
    try {
      attachment = await this.begin(record, options);
    } catch (error) {
      await this.refuse(volume, record);
      throw error;
    }
    attachment.devicePath = devicePath;
    await this.deps.thread(volumeId).call('volume.fuse', {
      ...{ volumeId, fd: ownFd, mountToken: volume.mountToken },
    });
    // Whether it had its device yet, an attach that is repeated finds out.
    attachment.ready = devicePath !== '';
  }

  private async refuse(volume: FetchedVolume, record: VolumeRecord | undefined): Promise<void> {
    const { volumeId, ownFd, devicePath } = volume;
    if (record === undefined) {
      this.deps.log.warn('a held volume has no record any more', { volumeId });
      closeFile(ownFd);
      return;
    }
    const owner = record.attachedOn === '' ? 'nobody' : record.attachedOn;
    const reason = `the volume belongs to ${owner} since epoch ${record.epoch}`;
    this.deps.log.warn('a held volume is fenced', { volumeId, reason });
    this.table.set(volumeId, {
      token: '',
      frontend: 'fuse',
      readOnly: true,
      devicePath,
      nbdUri: '',
      status: undefined,
      refused: true,
      ready: true,
    });
    await this.deps.thread(volumeId).call('volume.refuse', {
      ...{ record, fd: ownFd, mountToken: volume.mountToken, reason },
    });
  }

  private async readRecord(volumeId: string): Promise<VolumeRecord> {
    const entry = await this.deps.kvdb().get(this.deps.keys.volume(volumeId));
    if (entry === undefined) throw new PxError('not_found', `there is no volume ${volumeId}`);
    return parseVolumeRecord(entry.value, volumeId);
  }

  /** However long the store is away: the volume's I/O waits for this. */
  private async readRecordPatiently(volumeId: string): Promise<VolumeRecord | undefined> {
    for (;;) {
      try {
        return await this.readRecord(volumeId);
      } catch (error) {
        if (error instanceof PxError && error.code === 'not_found') return undefined;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  }

  private async alone<Result>(volumeId: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.busy.get(volumeId) ?? Promise.resolve();
    const mine = before.then(work);
    const settled = mine.then(
      () => undefined,
      () => undefined,
    );
    this.busy.set(volumeId, settled);
    try {
      return await mine;
    } finally {
      if (this.busy.get(volumeId) === settled) this.busy.delete(volumeId);
    }
  }
}
