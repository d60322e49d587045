import type { Random } from './random.js';
import type { Scheduler } from './scheduler.js';

/** One end of a connection, as the process that owns it sees it. */
export interface Endpoint {
  readonly machine: number;
  /** False once the process is gone. */
  isAlive(): boolean;
  run(event: () => void): void;
  onMessage(message: unknown): void;
  onClosed(reason: string): void;
}

/** How the network behaves at the moment; the fault plan changes it during a run. */
export interface NetworkMood {
  minDelayMs: number;
  maxDelayMs: number;
  /** Chance that a message is lost: its connection stalls, and may be reset. */
  lossChance: number;
}

const connectTimeoutMs = 150;

/**
 * FIFO connections between processes, as TCP gives them: a message arrives
 * once and in order, or the connection ends. A path that is cut stalls what is
 * sent; after the cut is mended it arrives late, unless an end gave up.
 */
export class Network {
  readonly mood: NetworkMood = { minDelayMs: 0.05, maxDelayMs: 0.5, lossChance: 0 };
  private readonly cuts = new Set<number>();
  readonly connections = new Set<Connection>();

  constructor(
    readonly scheduler: Scheduler,
    readonly random: Random,
  ) {}

  isCut(from: number, to: number): boolean {
    return this.cuts.has(from * 64 + to);
  }

  cut(from: number, to: number): void {
    if (from !== to) this.cuts.add(from * 64 + to);
  }

  mend(from: number, to: number): void {
    this.cuts.delete(from * 64 + to);
    for (const connection of this.connections) connection.mended(from, to);
  }

  mendAll(): void {
    this.cuts.clear();
    for (const connection of this.connections) connection.mended(-1, -1);
  }

  delay(): number {
    return this.random.between(this.mood.minDelayMs, this.mood.maxDelayMs);
  }

  /** `accept` gives the server's end, null when nothing listens, 'silent' when the machine is off. */
  connect(client: Endpoint, serverMachine: number, accept: Acceptor): Connection {
    const connection = new Connection(this, client);
    this.connections.add(connection);
    const fail = (delayMs: number, reason: string) => {
      this.scheduler.after(delayMs, () => connection.fail(reason));
    };
    this.scheduler.after(this.delay(), () => {
      if (this.isCut(client.machine, serverMachine) || this.isCut(serverMachine, client.machine)) {
        fail(connectTimeoutMs, 'connect timed out');
        return;
      }
      const server = accept(connection);
      if (server === 'silent') fail(connectTimeoutMs, 'connect timed out');
      else if (server === null) fail(this.delay(), 'connection refused');
      else connection.established(server);
    });
    return connection;
  }

  /** A machine has started again: it answers what still comes for old connections with a reset. */
  rebooted(machine: number): void {
    for (const connection of [...this.connections]) {
      if (connection.involves(machine) && connection.hasDeadEnd())
        connection.reset('reset by peer');
    }
  }

  /** A process is gone but its kernel is there: peers hear of it. */
  processDied(machine: number): void {
    for (const connection of [...this.connections]) {
      if (connection.involves(machine) && connection.hasDeadEnd()) {
        connection.endGone(this.random.chance(0.5));
      }
    }
  }
}

export type Acceptor = (connection: Connection) => Endpoint | null | 'silent';

interface Direction {
  from: Endpoint | null;
  to: Endpoint | null;
  lastArrival: number;
  /** What a cut path holds back, in order. */
  stalled: unknown[];
  /** False once the receiving end has closed or heard of the end. */
  open: boolean;
}

const endMark = Symbol('end of connection');

export class Connection {
  private readonly toServer: Direction;
  private readonly toClient: Direction;

  constructor(
    private readonly network: Network,
    client: Endpoint,
  ) {
    this.toServer = { from: client, to: null, lastArrival: 0, stalled: [], open: true };
    this.toClient = { from: null, to: client, lastArrival: 0, stalled: [], open: true };
  }

  established(server: Endpoint): void {
    this.toServer.to = server;
    this.toClient.from = server;
    if (!this.toClient.open) this.transmit(this.toServer, endMark);
    this.release(this.toServer);
  }

  sendToServer(message: unknown): void {
    if (this.toClient.open) this.transmit(this.toServer, message);
  }

  sendToClient(message: unknown): void {
    if (this.toServer.open) this.transmit(this.toClient, message);
  }

  /** The client closes its end; the server hears of it when the path lets it. */
  closeFromClient(): void {
    if (!this.toClient.open) return;
    this.toClient.open = false;
    if (this.toServer.to !== null) this.transmit(this.toServer, endMark);
    this.forgetIfOver();
  }

  closeFromServer(): void {
    if (!this.toServer.open) return;
    this.toServer.open = false;
    this.transmit(this.toClient, endMark);
    this.forgetIfOver();
  }

  /** The connection was never made. */
  fail(reason: string): void {
    this.toServer.open = false;
    this.deliverEnd(this.toClient, reason);
  }

  /** Both ends hear of a reset; what was under way is lost. */
  reset(reason: string): void {
    for (const direction of [this.toServer, this.toClient]) {
      direction.stalled = [];
      this.network.scheduler.after(this.network.delay(), () => this.deliverEnd(direction, reason));
    }
  }

  /** One end's process is gone. `graceful`: what it had sent still arrives. */
  endGone(graceful: boolean): void {
    for (const direction of [this.toServer, this.toClient]) {
      if (direction.to === null || !direction.to.isAlive()) direction.open = false;
      else if (graceful) this.transmit(direction, endMark);
      else {
        const toEnd = direction;
        toEnd.stalled = [];
        const path = this.isCut(toEnd);
        if (path) toEnd.stalled.push(endMark);
        else {
          this.network.scheduler.after(this.network.delay(), () =>
            this.deliverEnd(toEnd, 'reset by peer'),
          );
        }
      }
    }
    this.forgetIfOver();
  }

  mended(from: number, to: number): void {
    for (const direction of [this.toServer, this.toClient]) {
      const matches =
        from < 0 || (direction.from?.machine === from && direction.to?.machine === to);
      if (matches) this.release(direction);
    }
  }

  involves(machine: number): boolean {
    return this.toServer.from?.machine === machine || this.toServer.to?.machine === machine;
  }

  hasDeadEnd(): boolean {
    return this.toServer.to?.isAlive() === false || this.toClient.to?.isAlive() === false;
  }

  private isCut(direction: Direction): boolean {
    const { from, to } = direction;
    return from === null || to === null || this.network.isCut(from.machine, to.machine);
  }

  private transmit(direction: Direction, message: unknown): void {
    if (direction.stalled.length > 0 || this.isCut(direction)) {
      direction.stalled.push(message);
      return;
    }
    const { scheduler, random, mood } = this.network;
    let delay = this.network.delay();
    if (mood.lossChance > 0 && random.chance(mood.lossChance)) {
      if (random.chance(0.2)) {
        this.reset('too many losses');
        return;
      }
      // A lost segment comes again after the retransmission time-out.
      delay += random.between(20, 200);
    }
    direction.lastArrival = Math.max(direction.lastArrival, scheduler.now + delay);
    scheduler.at(direction.lastArrival, () => this.arrive(direction, message));
  }

  private arrive(direction: Direction, message: unknown): void {
    if (!direction.open) return;
    // The path was cut while this was under way, or something before it stalls.
    if (direction.stalled.length > 0 || this.isCut(direction)) {
      direction.stalled.push(message);
      return;
    }
    if (message === endMark) {
      this.deliverEnd(direction, 'closed by peer');
      return;
    }
    const to = direction.to as Endpoint;
    if (!to.isAlive()) return;
    to.run(() => {
      if (direction.open) to.onMessage(message);
    });
  }

  private deliverEnd(direction: Direction, reason: string): void {
    if (!direction.open) return;
    const to = direction.to;
    if (to === null || !to.isAlive()) {
      direction.open = false;
      this.forgetIfOver();
      return;
    }
    to.run(() => {
      if (!direction.open) return;
      direction.open = false;
      this.forgetIfOver();
      to.onClosed(reason);
    });
  }

  private release(direction: Direction): void {
    if (direction.stalled.length === 0 || this.isCut(direction)) return;
    const held = direction.stalled;
    direction.stalled = [];
    const base = this.network.scheduler.now + this.network.random.between(0, 100);
    direction.lastArrival = Math.max(direction.lastArrival, base);
    for (const message of held) {
      this.network.scheduler.at(direction.lastArrival, () => this.arrive(direction, message));
    }
  }

  private forgetIfOver(): void {
    if (!this.toServer.open && !this.toClient.open) this.network.connections.delete(this);
  }
}
