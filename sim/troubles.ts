import type { KvMood, SimKv } from './kv.js';
import type { Fencer } from './fencer.js';
import type { Manager } from './manager.js';
import type { Mover } from './mover.js';
import type { Network } from './network.js';
import type { SimNode } from './node.js';
import type { Plan, TroubleKind } from './plan.js';
import type { Random } from './random.js';
import type { Scheduler } from './scheduler.js';

export interface TroubleDeps {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly network: Network;
  readonly kv: SimKv;
  readonly nodes: readonly SimNode[];
  readonly manager: Manager;
  readonly mover: Mover;
  readonly fencer: Fencer;
  readonly trace: (text: () => string) => void;
}

/** Makes the plan's trouble, each kind at random moments, until it is told to stop. */
export class Troubles {
  private stopped = false;
  /** Undoes what lasts for a while, in case the run ends first. */
  private readonly undo = new Set<() => void>();

  constructor(private readonly deps: TroubleDeps) {}

  start(): void {
    for (const { kind, meanGapMs } of this.deps.plan.troubles) this.arm(kind, meanGapMs);
  }

  /** Ends all trouble and brings everything back that was taken away. */
  heal(): void {
    const { nodes, network, trace } = this.deps;
    trace(() => 'all trouble ends');
    this.stopped = true;
    for (const action of [...this.undo]) action();
    network.mendAll();
    for (const node of nodes) {
      node.powerOn();
      node.startProcess();
      node.process?.resume();
    }
  }

  private arm(kind: TroubleKind, meanGapMs: number): void {
    const { scheduler, random } = this.deps;
    scheduler.after(random.exponential(meanGapMs), () => {
      if (this.stopped) return;
      this.make(kind);
      this.delicateMoment();
      this.arm(kind, meanGapMs);
    });
  }

  /** Something has just happened: the protocol is likely in the middle of a change. */
  delicateMoment(): void {
    const { scheduler, random, plan } = this.deps;
    const { troubles, momentChance } = plan;
    if (this.stopped || troubles.length === 0 || !random.chance(momentChance)) return;
    const { kind } = random.pick(troubles);
    scheduler.after(random.exponential(random.pick([1, 10, 100])), () => {
      if (!this.stopped) this.make(kind);
    });
  }

  private make(kind: TroubleKind): void {
    const { random, nodes, manager, network } = this.deps;
    const node = random.pick(nodes);
    const other = random.pick(nodes);
    switch (kind) {
      case 'crash':
        return this.crash(node);
      case 'power_cut':
        return this.powerCut(node);
      case 'power_cut_all':
        return nodes.forEach((each) => this.powerCut(each));
      case 'pause':
        return this.pause(node);
      case 'partition':
        return this.cut(kind, [
          [node, other],
          [other, node],
        ]);
      case 'one_way_partition':
        return this.cut(kind, [[node, other]]);
      case 'isolation':
        return this.isolate(node);
      case 'reset':
        for (const connection of network.connections) {
          if (random.chance(0.3)) connection.reset('reset by the network');
        }
        return;
      case 'slow_network':
      case 'lossy_network':
        return this.disturbNetwork(kind);
      case 'kv_away':
      case 'kv_cut_off':
      case 'kv_lost_answers':
        return this.disturbKv(kind, node);
      case 'disk_errors':
      case 'sync_errors':
      case 'disk_full':
      case 'disk_stall':
      case 'slow_disk':
        return this.disturbDisk(kind, node);
      case 'replace_disk':
        return this.replace(node);
      case 'steal':
        return manager.steal();
      case 'detach':
        return manager.detach();
      case 'snapshot':
        return manager.snapshot();
      case 'grow':
        return manager.grow();
      case 'check':
        return manager.check();
      case 'fence':
        return this.deps.fencer.fence(node);
      case 'change_replicas':
        return this.deps.mover.wish();
    }
  }

  /** Undone after a while, or when all trouble ends. */
  private forAWhile(what: () => string, meanMs: number, undo: () => void): void {
    const { scheduler, random, trace } = this.deps;
    trace(what);
    const action = () => {
      if (!this.undo.delete(action)) return;
      trace(() => `${what()}: over`);
      undo();
    };
    this.undo.add(action);
    scheduler.after(random.exponential(meanMs), action);
  }

  private crash(node: SimNode): void {
    if (node.process === null) return;
    node.crashProcess();
    this.forAWhile(
      () => `${node.name}: engine down`,
      this.shortOrLong(),
      () => node.startProcess(),
    );
  }

  private powerCut(node: SimNode): void {
    if (!node.poweredOn) return;
    node.cutPower(this.deps.plan.lossChance);
    this.forAWhile(
      () => `${node.name}: without power`,
      this.shortOrLong(),
      () => node.powerOn(),
    );
  }

  private pause(node: SimNode): void {
    const { process } = node;
    if (process === null || process.paused) return;
    process.pause();
    this.forAWhile(
      () => `${node.name}: paused`,
      this.shortOrLong(),
      () => process.resume(),
    );
    this.perhapsGivenUp(node);
  }

  private isolate(node: SimNode): void {
    const { nodes, kv, random } = this.deps;
    const paths = nodes.flatMap((each): [SimNode, SimNode][] => [
      [node, each],
      [each, node],
    ]);
    const withKv = random.chance(0.5);
    if (withKv) kv.cutOff.add(node.index);
    this.cut('isolation', paths, () => kv.cutOff.delete(node.index));
    this.perhapsGivenUp(node);
  }

  /** Kubernetes takes a node that can't be reached for dead, though it may be at work. */
  private perhapsGivenUp(node: SimNode): void {
    const { random, scheduler, manager } = this.deps;
    if (manager.current?.process.node !== node || random.chance(0.4)) return;
    scheduler.after(random.between(20, 300), () => {
      if (!this.stopped && manager.current?.process.node === node) manager.steal();
    });
  }

  /** A broken disk is replaced: the replica, which etcd does not count on, begins anew. */
  private replace(node: SimNode): void {
    const { kv, manager } = this.deps;
    const known = kv.record.replicas.find((replica) => replica.id === node.replicaId);
    const status = manager.current?.coordinator
      .status()
      .replicas.find((replica) => replica.replicaId === node.replicaId);
    if (known?.state !== 'out' || status?.state !== 'out' || !node.poweredOn) return;
    node.replaceDisk();
  }

  private cut(
    kind: TroubleKind,
    paths: readonly (readonly [SimNode, SimNode])[],
    alsoUndo: () => void = () => undefined,
  ): void {
    const { network } = this.deps;
    for (const [from, to] of paths) network.cut(from.index, to.index);
    const what = () => `${kind} ${paths.map(([from, to]) => `${from.name}>${to.name}`).join(' ')}`;
    this.forAWhile(what, this.shortOrLong(), () => {
      for (const [from, to] of paths) network.mend(from.index, to.index);
      alsoUndo();
    });
  }

  private disturbNetwork(kind: 'slow_network' | 'lossy_network'): void {
    const { mood } = this.deps.network;
    const { random } = this.deps;
    if (kind === 'slow_network') mood.maxDelayMs = random.pick([5, 30, 150]);
    else mood.lossChance = random.pick([0.01, 0.05, 0.2]);
    this.forAWhile(
      () => kind,
      this.shortOrLong(),
      () => {
        mood.maxDelayMs = 0.5;
        mood.lossChance = 0;
      },
    );
  }

  private disturbKv(kind: TroubleKind, node: SimNode): void {
    const { kv, random } = this.deps;
    const mood: KvMood = kv.mood;
    if (kind === 'kv_away') mood.away = true;
    else if (kind === 'kv_cut_off') kv.cutOff.add(node.index);
    else {
      mood.lostAnswerChance = random.pick([0.1, 0.5]);
      mood.maxDelayMs = random.pick([4, 50]);
    }
    this.forAWhile(
      () => `${kind} ${node.name}`,
      this.shortOrLong(),
      () => {
        if (kind === 'kv_away') mood.away = false;
        else if (kind === 'kv_cut_off') kv.cutOff.delete(node.index);
        else {
          mood.lostAnswerChance = 0;
          mood.maxDelayMs = 4;
        }
      },
    );
  }

  private disturbDisk(kind: TroubleKind, node: SimNode): void {
    const { random, scheduler } = this.deps;
    const { mood } = node;
    if (kind === 'disk_errors') mood.ioErrorChance = random.pick([0.05, 0.5]);
    if (kind === 'sync_errors') mood.syncErrorChance = random.pick([0.05, 0.5]);
    if (kind === 'disk_full') mood.full = true;
    if (kind === 'disk_stall') mood.stalledUntil = scheduler.now + random.exponential(500);
    if (kind === 'slow_disk') mood.syncMaxMs = random.pick([20, 100]);
    this.forAWhile(
      () => `${kind} ${node.name}`,
      this.shortOrLong(),
      () => {
        mood.ioErrorChance = 0;
        mood.syncErrorChance = 0;
        mood.full = false;
        mood.syncMaxMs = 2;
      },
    );
  }

  /** Shorter than any time-out, or longer than all of them. */
  private shortOrLong(): number {
    return this.deps.random.pick([20, 100, 300, 900]);
  }
}
