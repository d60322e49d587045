import { RecordUpdater } from '../src/dataplane/protocol/record-updater.js';
import type { PlantedFaults } from '../src/dataplane/protocol/planted-faults.js';
import type { ReplicaMeta } from '../src/dataplane/protocol/ports.js';
import { Replica } from '../src/dataplane/protocol/replica.js';
import { Violation } from './checker.js';
import { calmDisk, ReplicaDisk, SimStore, type DiskMood } from './disk.js';
import { clusterId, geometry, volumeId } from './geometry.js';
import type { SimKv } from './kv.js';
import type { Connection, Endpoint, Network } from './network.js';
import { Executor, MachineClock } from './process.js';
import type { Random } from './random.js';
import { ReplicaServer } from './replica-server.js';
import type { Scheduler } from './scheduler.js';
import { SimSlots } from './slots.js';

/** What all nodes of a run share. */
export interface NodeEnvironment {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly network: Network;
  readonly kv: SimKv;
  readonly leaseMs: number;
  readonly faults: PlantedFaults;
  readonly trace: (text: () => string) => void;
  admitted(replicaId: string): void;
  volatileLost(replicaId: string): void;
  processEnded(): void;
}

const slotCount = 160;

/** A machine: its clock and its disk outlive its processes, and a power cut. */
export class SimNode {
  readonly clock: MachineClock;
  readonly mood: DiskMood = calmDisk();
  readonly disks = new Map<string, ReplicaDisk>();
  poweredOn = true;
  /** The disk has reported a failed sync: the replica's process refuses to go on. */
  syncFailed = false;
  process: EngineProcess | null = null;

  constructor(
    readonly env: NodeEnvironment,
    readonly index: number,
    public replicaId: string | null,
    sizeBytes: number,
    meta: Omit<ReplicaMeta, 'replicaId' | 'sizeBytes'>,
  ) {
    const { random, scheduler } = env;
    // Clocks of real machines differ by less than a thousandth.
    this.clock = new MachineClock(
      scheduler,
      random.between(0.9995, 1.0005),
      random.between(1000, 100000),
    );
    if (replicaId !== null) {
      const disk = new ReplicaDisk(random, { ...meta, replicaId, sizeBytes });
      this.disks.set(diskKey(volumeId, replicaId), disk);
    }
    this.startProcess();
  }

  get name(): string {
    return `n${this.index}`;
  }

  /** The volume's replica here. */
  get disk(): ReplicaDisk | undefined {
    return this.replicaId === null ? undefined : this.disks.get(diskKey(volumeId, this.replicaId));
  }

  startProcess(): void {
    if (!this.poweredOn || this.process !== null) return;
    this.env.trace(() => `${this.name}: the engine starts`);
    this.process = new EngineProcess(this);
  }

  crashProcess(): void {
    const { process } = this;
    if (process === null) return;
    this.env.trace(() => `${this.name}: the engine crashes`);
    process.die();
    this.process = null;
    for (const disk of this.disks.values()) disk.crashProcess();
    this.env.network.processDied(this.index);
    this.env.processEnded();
  }

  cutPower(lossChance: number): void {
    if (!this.poweredOn) return;
    this.env.trace(() => `${this.name}: power cut (loses ${lossChance.toFixed(2)})`);
    this.process?.die();
    this.process = null;
    this.poweredOn = false;
    for (const disk of this.disks.values()) disk.cutPower(lossChance);
    if (this.replicaId !== null) this.env.volatileLost(this.replicaId);
    this.env.processEnded();
  }

  /** A new, empty replica takes the place of the one here. */
  replaceDisk(): void {
    const { disk, replicaId } = this;
    if (disk === undefined || replicaId === null) return;
    this.crashProcess();
    this.env.trace(() => `${this.name}: ${replicaId} is replaced by an empty one`);
    const meta = { ...disk.meta, epoch: 0, token: '', blank: true, lossy: false };
    this.disks.set(diskKey(volumeId, replicaId), new ReplicaDisk(this.env.random, meta));
    this.env.volatileLost(replicaId);
    this.startProcess();
  }

  /** An empty replica that came into the record; what was here before is in no record any more. */
  makeReplica(replicaId: string, sizeBytes: number): void {
    if (this.replicaId !== null) this.wipeReplica(this.replicaId);
    this.env.trace(() => `${this.name}: ${replicaId} is made`);
    const meta = { clusterId, volumeId, replicaId, epoch: 0, token: '', lossy: false };
    const disk = new ReplicaDisk(this.env.random, { ...meta, sizeBytes, blank: true });
    this.replicaId = replicaId;
    this.disks.set(diskKey(volumeId, replicaId), disk);
    this.process?.serve();
  }

  wipeReplica(replicaId: string): void {
    this.env.trace(() => `${this.name}: ${replicaId} is deleted`);
    if (this.replicaId === replicaId) {
      this.syncFailed = false;
      this.replicaId = null;
      this.process?.serve();
    }
    this.disks.delete(diskKey(volumeId, replicaId));
  }

  powerOn(): void {
    if (this.poweredOn) return;
    this.poweredOn = true;
    this.clock.reboot();
    this.env.network.rebooted(this.index);
    this.startProcess();
  }

  /** What a connecting coordinator finds here. */
  accept(connection: Connection): Endpoint | null | 'silent' {
    if (!this.poweredOn) return 'silent';
    if (this.process === null || this.process.server === null) return null;
    return this.process.server.accept(connection);
  }
}

export function diskKey(volume: string, replicaId: string): string {
  return `${volume}/${replicaId}`;
}

/** The coordinator that lives in a process. */
export interface Tenant {
  readonly alive: boolean;
  readonly coordinator: { nextDeadline(): number; tick(now: number): void };
  discard(): void;
}

/** The engine on a node: at most one coordinator, and the replica that is placed here. */
export class EngineProcess extends Executor {
  readonly slots = new SimSlots(slotCount);
  readonly updater: RecordUpdater;
  server: ReplicaServer | null = null;
  attachment: Tenant | null = null;
  private tickDueAt = Infinity;
  private idleTicks = 0;

  constructor(readonly node: SimNode) {
    super(node.env.scheduler, () => this.scheduleTick());
    const { env } = node;
    this.updater = new RecordUpdater({
      kv: env.kv.port(node.index, (event) => this.run(event)),
      timer: { after: (delayMs, callback) => this.after(delayMs, callback) },
      keyOf: (id) => id,
    });
    this.serve();
  }

  /** Opens the replica that the node has now. */
  serve(): void {
    this.server?.closeAll();
    this.server = this.node.disk === undefined ? null : this.openReplica(this.node.disk);
  }

  private openReplica(disk: ReplicaDisk): ReplicaServer {
    const { node } = this;
    const { env } = node;
    const { replicaId: ownId } = disk.meta;
    // Pages that could not be written are dropped, so that reads see the disk from now on.
    if (disk.dropLost() || node.syncFailed) env.volatileLost(ownId);
    node.syncFailed = false;
    const server = new ReplicaServer(this, node.index, this.slots);
    const store = new SimStore(disk, {
      memory: this.slots.memory,
      random: env.random,
      mood: node.mood,
      now: () => env.scheduler.now,
      after: (delayMs, run) => this.after(delayMs, run),
      done: (ticket, status) => server.replica.onStoreDone(ticket, status),
      disk: (volume, replicaId) => node.disks.get(diskKey(volume, replicaId)),
      replaceDisk: (volume, replicaId, replacement) =>
        node.disks.set(diskKey(volume, replicaId), replacement),
      syncFailed: () => {
        if (node.replicaId !== ownId) return;
        node.syncFailed = true;
        // A cache that can't be written is as good as lost.
        env.volatileLost(ownId);
      },
      admitted: () => env.admitted(ownId),
    });
    server.replica = new Replica({
      store,
      slots: this.slots,
      clock: node.clock,
      host: server,
      geometry,
      leaseMs: env.leaseMs,
      faults: env.faults,
    });
    return server;
  }

  /** Arms the coordinator's next tick; called after each event of the process. */
  private scheduleTick(): void {
    const { attachment } = this;
    if (attachment === null || !attachment.alive) return;
    const deadline = attachment.coordinator.nextDeadline();
    if (deadline === Infinity) return;
    // A little late, so that rounding never makes the tick come too early.
    const due = Math.max(this.node.clock.trueTime(deadline), this.scheduler.now) + 0.01;
    if (due >= this.tickDueAt) return;
    this.tickDueAt = due;
    this.at(due, () => {
      if (this.tickDueAt !== due) return;
      this.tickDueAt = Infinity;
      if (this.attachment?.alive) this.tick(this.attachment);
    });
  }

  /** A tick that leaves its own deadline in the past would keep a thread busy for nothing. */
  private tick({ coordinator }: Tenant): void {
    const now = this.node.clock.now();
    coordinator.tick(now);
    if (coordinator.nextDeadline() > now) this.idleTicks = 0;
    else if (++this.idleTicks > 20) throw new Violation('busy_loop', 'ticks without an end');
  }
}
