import type { VolumeRecord } from '../src/kernel/volume-record.js';
import { AssertionError } from '../src/kernel/assert.js';
import type { CoordinatorOptions } from '../src/dataplane/protocol/coordinator-types.js';
import { noFaults, type PlantedFaults } from '../src/dataplane/protocol/planted-faults.js';
import { Checker, Violation } from './checker.js';
import { Clients } from './clients.js';
import { Fencer } from './fencer.js';
import { clusterId, geometry, maxIoSectors, sectorBytes, volumeId } from './geometry.js';
import { SimKv } from './kv.js';
import { Manager } from './manager.js';
import { Mover } from './mover.js';
import { Network } from './network.js';
import { SimNode, type NodeEnvironment } from './node.js';
import { drawPlan, type Plan, type Profile } from './plan.js';
import { Random } from './random.js';
import { Scheduler } from './scheduler.js';
import { Troubles } from './troubles.js';

export interface RunResult {
  readonly seed: number;
  /** '' when every rule held. */
  readonly rule: string;
  readonly detail: string;
  readonly acknowledged: number;
  readonly readsChecked: number;
  readonly epochs: number;
  readonly totalLosses: number;
  readonly snapshots: number;
  readonly events: number;
  readonly healMs: number;
}

export interface RunOptions {
  readonly faults?: PlantedFaults;
  readonly profile?: Profile;
  /** Receives one line for each thing that happens. */
  readonly print?: (line: string) => void;
}

const leaseMs = 400;
/** From the end of all trouble to everything in sync and every request answered. */
const healBoundMs = 15_000;
const eventLimit = 100_000;

/** One run: a cluster, its clients and its troubles, all drawn from the seed. */
export class Simulation {
  private readonly scheduler = new Scheduler();
  private readonly random: Random;
  private readonly plan: Plan;
  private readonly network: Network;
  private readonly kv: SimKv;
  private readonly nodes: SimNode[] = [];
  private readonly checker: Checker;
  private readonly clients: Clients;
  private readonly manager: Manager;
  private readonly mover: Mover;
  private readonly fencer: Fencer;
  private readonly troubles: Troubles;
  private healMs = 0;
  private disksDoneAt = 0;

  constructor(
    private readonly seed: number,
    private readonly options: RunOptions,
  ) {
    const { scheduler } = this;
    const random = (this.random = new Random(seed));
    const plan = (this.plan = drawPlan(random, seed, options.profile));
    const faults = options.faults ?? noFaults;
    const trace =
      options.print === undefined ? () => undefined : (text: () => string) => this.print(text);
    trace(() => `plan ${JSON.stringify(plan)}`);
    this.network = new Network(scheduler, random);
    this.kv = new SimKv(scheduler, random, newRecord(plan), (record) => {
      trace(() => `etcd: epoch ${record.epoch} on ${record.attachedOn || '-'}: ${states(record)}`);
      this.noticeOrphan();
      this.manager.hint(record);
      this.mover.hint();
      this.troubles.delicateMoment();
    });
    const environment: NodeEnvironment = {
      scheduler,
      random,
      network: this.network,
      kv: this.kv,
      leaseMs,
      faults,
      trace,
      admitted: (replicaId) => {
        this.checker.admitted(replicaId);
      },
      volatileLost: (replicaId) => this.checker.volatileLost(replicaId),
      processEnded: () => this.noticeOrphan(),
    };
    const nodeOf = (id: string) => this.nodes.find((node) => node.replicaId === id);
    this.checker = new Checker(
      plan.sectors,
      {
        record: () => this.kv.record,
        content: (id) => {
          const node = nodeOf(id);
          return node?.poweredOn === true ? node.disk?.cache : undefined;
        },
        contentWithoutPower: (id) => nodeOf(id)?.disk?.cache ?? new Uint32Array(0),
        replicaEpoch: (id) => nodeOf(id)?.disk?.meta.epoch ?? 0,
      },
      trace,
    );
    const sizeBytes = plan.sectors * sectorBytes;
    for (let index = 0; index < plan.nodes; index++) {
      const replicaId = index < plan.replicas ? `r${index}` : null;
      const meta = { clusterId, volumeId, epoch: 0, token: '', blank: false, lossy: false };
      this.nodes.push(new SimNode(environment, index, replicaId, sizeBytes, meta));
    }
    this.clients = new Clients(plan, random, this.checker);
    const shared = { plan, scheduler, random, kv: this.kv, nodes: this.nodes, trace };
    this.manager = new Manager({
      ...shared,
      checker: this.checker,
      clients: this.clients,
      options: coordinatorOptions(plan, faults),
    });
    this.mover = new Mover({ ...shared, attachments: () => this.manager.attachments });
    this.fencer = new Fencer({ ...shared, checker: this.checker, faults });
    const { manager, mover, fencer } = this;
    this.troubles = new Troubles({ ...shared, network: this.network, manager, mover, fencer });
  }

  run(): RunResult {
    try {
      this.play();
    } catch (error) {
      return this.result(error);
    }
    return this.result(undefined);
  }

  private play(): void {
    this.manager.start();
    this.troubles.start();
    const end = this.plan.activeMs;
    this.runUntil(() => this.scheduler.now >= end, Infinity, 'the active phase');
    this.clients.stopped = true;
    this.heal('after the troubles');
    if (this.plan.finalPowerCut) {
      for (const node of this.nodes) node.cutPower(this.plan.lossChance);
      for (const node of this.nodes) node.powerOn();
      this.heal('after the power cut of all');
    }
    this.checker.finish();
  }

  /** Without trouble everything comes back in bounded time, and nothing is lost. */
  private heal(when: string): void {
    this.troubles.heal();
    this.disksDoneAt = Math.max(...this.nodes.map((node) => node.disk?.lastDoneAt ?? 0));
    this.replacePoisoned();
    const begun = this.scheduler.now;
    const deadline = begun + healBoundMs;
    this.runUntil(() => this.isWhole(), deadline, `everything in sync ${when}`);
    this.healMs = Math.max(this.healMs, this.scheduler.now - begun);
    this.probe(deadline, when);
    this.checker.quiet(when);
    let detached = false;
    this.manager.resting = true;
    this.manager.detach(() => {
      detached = true;
    });
    this.runUntil(() => detached, deadline, `detached ${when}`);
    this.manager.resting = false;
    this.checker.quiet(`detached ${when}`);
  }

  /** A replica whose disk reported a failed sync is trusted again only by a new process. */
  private replacePoisoned(): void {
    for (const node of this.nodes) {
      if (!node.syncFailed) continue;
      node.crashProcess();
      node.startProcess();
    }
  }

  private noticeOrphan(): void {
    const { epoch } = this.kv.record;
    const { attachments } = this.manager;
    if (!attachments.some((each) => each.epoch === epoch && each.alive && each.process.alive)) {
      this.checker.orphaned();
    }
  }

  private isWhole(): boolean {
    this.replacePoisoned();
    // What a disk had accepted during the troubles may still fail.
    if (this.scheduler.now <= this.disksDoneAt || this.fencer.isAtWork) return false;
    const { current } = this.manager;
    if (current === undefined || current.draining || current.inFlight > 0) return false;
    if (this.manager.attachments.length > 1 || this.manager.isAttaching) return false;
    const { replicas, replicaWish, leavers } = this.kv.record;
    if (!replicas.every((replica) => replica.state === 'in_sync')) return false;
    if (replicaWish !== undefined || (leavers ?? []).length > 0) return false;
    const status = current.coordinator.status();
    return (
      status.phase === 'serving' && status.replicas.every((replica) => replica.state === 'in_sync')
    );
  }

  /** Reads everything, writes something, flushes. */
  private probe(deadline: number, when: string): void {
    const { current } = this.manager;
    if (current === undefined) throw new Violation('heals', `nothing is attached ${when}`);
    const size = this.checker.sectors.length;
    let waiting = 0;
    let flushFailures = 0;
    const ask = (type: 'read' | 'write' | 'flush', first: number, count: number) => {
      waiting++;
      current.submit(type, first, count, (status) => {
        // A flush owes one error when writes were lost during the troubles.
        if (status !== 0 && type === 'flush' && flushFailures++ === 0) ask(type, first, count);
        else if (status !== 0) throw new Violation('heals', `a ${type} gave ${status} ${when}`);
        waiting--;
      });
    };
    current.process.run(() => {
      for (let first = 0; first < size; first += maxIoSectors) {
        ask('read', first, Math.min(maxIoSectors, size - first));
      }
    });
    this.runUntil(() => waiting === 0, deadline, `every sector is read ${when}`);
    current.process.run(() => ask('write', this.random.int(size), 1));
    this.runUntil(() => waiting === 0, deadline, `a write is answered ${when}`);
    current.process.run(() => ask('flush', 0, 0));
    this.runUntil(() => waiting === 0, deadline, `a flush is answered ${when}`);
  }

  private runUntil(condition: () => boolean, deadline: number, what: string): void {
    while (!condition()) {
      if (this.scheduler.now > deadline) {
        const status = this.manager.current?.coordinator.status();
        const state = `${states(this.kv.record)}; ${JSON.stringify(status)}`;
        throw new Violation('heals', `not within ${healBoundMs} ms: ${what}: ${state}`);
      }
      if (this.scheduler.executed > eventLimit) {
        throw new Violation('heals', `more than ${eventLimit} events until ${what}`);
      }
      this.scheduler.step();
    }
  }

  private print(text: () => string): void {
    this.options.print?.(`${this.scheduler.now.toFixed(2).padStart(9)} ${text()}`);
  }

  private result(error: unknown): RunResult {
    const { rule, detail } = explain(error);
    if (rule !== '') this.print(() => detail);
    return {
      seed: this.seed,
      rule,
      detail,
      acknowledged: this.checker.acknowledged,
      readsChecked: this.checker.readsChecked,
      epochs: this.kv.record.epoch,
      totalLosses: this.checker.totalLosses,
      snapshots: this.checker.snapshots,
      events: this.scheduler.executed,
      healMs: this.healMs,
    };
  }
}

export function simulate(seed: number, options: RunOptions = {}): RunResult {
  return new Simulation(seed, options).run();
}

function explain(error: unknown): { rule: string; detail: string } {
  if (error === undefined) return { rule: '', detail: '' };
  if (error instanceof Violation) return { rule: error.rule, detail: error.message };
  if (!(error instanceof Error)) return { rule: 'exception', detail: 'something else was thrown' };
  const rule = error instanceof AssertionError ? 'assertion' : 'exception';
  return { rule, detail: error.stack ?? error.message };
}

function coordinatorOptions(plan: Plan, faults: PlantedFaults): CoordinatorOptions {
  return {
    heartbeatMs: 100,
    leaseMs,
    replicaTimeoutMs: 400,
    flushTimeoutMs: 1200,
    resyncBytesPerSecond: 10_000_000,
    cleanIntervalMs: plan.cleanIntervalMs,
    geometry,
    faults,
  };
}

function states(record: VolumeRecord): string {
  const { replicas, replicaWish: wish } = record;
  const text = replicas.map((replica) => `${replica.id} ${replica.state}`).join(', ');
  return wish === undefined
    ? text
    : `${text} (to be ${wish.targetCount} without ${wish.removing.join()})`;
}

function newRecord(plan: Plan): VolumeRecord {
  const replicas = Array.from({ length: plan.replicas }, (_, index) => ({
    id: `r${index}`,
    nodeId: `n${index}`,
    poolId: 'p',
    state: 'in_sync' as const,
  }));
  return {
    id: volumeId,
    name: volumeId,
    lifecycle: 'ready',
    sizeBytes: plan.sectors * sectorBytes,
    spec: {
      replicas: plan.replicas,
      ioPriority: 'high',
      fs: 'none',
      blockSizeBytes: 4096,
      nodes: [],
      zones: [],
      racks: [],
      regions: [],
      bestEffortLocation: false,
      group: '',
      groupEnforced: false,
      sticky: false,
      noDiscard: false,
      queueDepth: 128,
      ioProfile: 'auto',
      aggregationLevel: 1,
      labels: {},
    },
    createdAt: '2000-01-01T00:00:00Z',
    readOnly: false,
    parentId: '',
    replicas,
    epoch: 0,
    attachedOn: '',
    attachToken: '',
    publishedOn: '',
    publishedReadOnly: false,
  };
}
