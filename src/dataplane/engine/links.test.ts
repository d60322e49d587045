import { EpollIoLoop } from '../io/io-loop.js';
import { NativeSlotTable } from '../io/slot-table.js';
import type { ControlMessage, ControlReply, Hello, HelloReply } from '../protocol/messages.js';
import { OpKind } from '../protocol/ops.js';
import type { CoordinatorEvents } from '../protocol/ports.js';
import { closeFile } from '../sys/files.js';
import { connectTcp, listenTcp, localAddress, send } from '../sys/sockets.js';
import { allocateMemory, copyMemory } from '../sys/memory.js';
import { DataListener } from './data-listener.js';
import { Outbox } from './outbox.js';
import { RemoteLink } from './remote-link.js';
import { type ReplicaCore, ReplicaRegistry } from './replica-registry.js';
import { ReplicaSession } from './replica-session.js';
import { SlotPool } from './slot-pool.js';
import { SlotViews } from './slot-views.js';
import { WriteChecksums } from './write-checksums.js';

const hello: Hello = {
  clusterId: 'cluster',
  volumeId: 'volume',
  replicaId: 'replica',
  epoch: 3,
  token: 'token',
  leaseMs: 4000,
  previousOwnerDead: false,
};
const sizeBytes = 8 * 1024 * 1024;

/** A replica in memory that answers at once, or when told to. */
class MemoryReplica implements ReplicaCore {
  readonly disk = allocateMemory(sizeBytes);
  readonly controls: ControlMessage[] = [];
  readonly held: { session: number; slot: number }[] = [];
  readonly closed: number[] = [];
  holding = false;
  refuse = false;
  maxHeld = 0;

  constructor(
    private readonly registry: ReplicaRegistry,
    private readonly slots: NativeSlotTable,
  ) {}

  hello(session: number): void {
    const refusal: HelloReply = { ok: false, code: 'fenced', message: 'epoch 4', epoch: 4 };
    const welcome: HelloReply = {
      ok: true,
      lossy: false,
      blank: false,
      ringIntact: true,
      ring: [0, 4096],
      marks: Uint8Array.of(3),
      leaseRemainingMs: 0,
      sizeBytes,
    };
    this.registry.helloReply(session, this.refuse ? refusal : welcome);
  }
  submit(session: number, slot: number): void {
    this.held.push({ session, slot });
    this.maxHeld = Math.max(this.maxHeld, this.held.length);
    if (!this.holding) this.answerAll();
  }
  answerAll(): void {
    for (const { session, slot } of this.held.splice(0)) {
      const at = this.disk.address + this.slots.offset[slot];
      const payload = this.slots.address(slot);
      if (this.slots.kind[slot] === OpKind.write) copyMemory(at, payload, this.slots.length[slot]);
      if (this.slots.kind[slot] === OpKind.read) copyMemory(payload, at, this.slots.length[slot]);
      this.registry.reply(session, slot, 0);
    }
  }
  control(session: number, tag: number, message: ControlMessage): void {
    this.controls.push(message);
    this.registry.controlReply(session, tag, {
      status: 0,
      digests: new Uint8Array(40_000).fill(9),
    });
  }
  closeSession(session: number): void {
    this.closed.push(session);
    this.held.length = 0;
  }
}

class Events implements CoordinatorEvents {
  readonly hellos: HelloReply[] = [];
  readonly replies: { slot: number; status: number }[] = [];
  readonly controls: { tag: number; reply: ControlReply }[] = [];
  readonly downs: string[] = [];
  onHello(_link: number, reply: HelloReply): void {
    this.hellos.push(reply);
  }
  onReply(_link: number, slot: number, status: number): void {
    this.replies.push({ slot, status });
  }
  onControlReply(_link: number, tag: number, reply: ControlReply): void {
    this.controls.push({ tag, reply });
  }
  onLinkDown(_link: number, reason: string): void {
    this.downs.push(reason);
  }
  onRecord(): void {
    throw new Error('a link knows no records');
  }
}

describe('RemoteLink and ReplicaSession', () => {
  const slots = new NativeSlotTable(300);
  let loop: EpollIoLoop;
  let outbox: Outbox;
  let registry: ReplicaRegistry;
  let replica: MemoryReplica;
  let events: Events;
  let link: RemoteLink;
  let listener: DataListener;
  let port: number;
  let poolSlots: number[];

  beforeEach(() => {
    loop = new EpollIoLoop(slots);
    outbox = new Outbox(loop);
    const views = new SlotViews(slots);
    registry = new ReplicaRegistry();
    replica = new MemoryReplica(registry, slots);
    events = new Events();
    poolSlots = [];
    const recorded = {
      capacity: slots.capacity,
      kind: slots.kind,
      offset: slots.offset,
      length: slots.length,
      seq: slots.seq,
      address: (slot: number) => slots.address(slot),
      acquire: () => {
        const slot = slots.acquire();
        poolSlots.push(slot);
        return slot;
      },
      release: (slot: number) => slots.release(slot),
    };
    const pool = new SlotPool(recorded, 140, outbox);
    const idle: ReplicaSession[] = [];
    const recycle = (session: ReplicaSession) => void idle.push(session);
    const checksums = new WriteChecksums(slots, views);
    const shared = { loop, outbox, views, checksums, clusterId: 'cluster' };
    const fd = listenTcp({ host: '127.0.0.1', port: 0 });
    port = localAddress(fd)?.port ?? 0;
    const replicas = {
      find: (message: Hello) => (message.volumeId === 'volume' ? replica : undefined),
    };
    const sessionDeps = { ...shared, registry, replicas, pool, nodeId: 'node2', recycle };
    const handOver = (taken: number, message: Hello): void => {
      (idle.pop() ?? new ReplicaSession(sessionDeps)).open(taken, message);
    };
    listener = new DataListener({ loop, outbox, handOver }, fd);
    const addressOf = (nodeId: string) =>
      nodeId === 'node9' ? undefined : { host: '127.0.0.1', port };
    link = new RemoteLink({ ...shared, addressOf, connect: connectTcp }, events, 0, 'node2');
  });

  afterEach(() => {
    link.close();
    turnUntil(() => true);
    listener.close();
    loop.close();
    for (const slot of poolSlots) slots.release(slot);
  });

  function turnUntil(done: () => boolean): void {
    const end = Date.now() + 5000;
    do {
      loop.turn(20);
      if (Date.now() > end) throw new Error('nothing happened for 5 s');
    } while (!done());
  }

  function connect(): void {
    link.open(hello);
    turnUntil(() => events.hellos.length > 0);
  }

  function request(kind: number, offset: number, length: number, fill: number): number {
    const slot = slots.acquire();
    slots.kind[slot] = kind;
    slots.offset[slot] = offset;
    slots.length[slot] = length;
    slots.seq[slot] = 1;
    new Uint8Array(slots.buffer, slots.payloadOffset(slot), length).fill(fill);
    return slot;
  }

  it('carries requests of all sizes both ways', () => {
    connect();
    expect(events.hellos[0]).toMatchObject({ ok: true, ring: [0, 4096], marks: Uint8Array.of(3) });
    const sizes = [512, 4096, 32768, 65536, 1024 * 1024];
    let offset = 0;
    for (const [index, length] of sizes.entries()) {
      const written = request(OpKind.write, offset, length, index + 1);
      link.send(written, 0);
      turnUntil(() => events.replies.some(({ slot }) => slot === written));
      slots.release(written);
      const reading = request(OpKind.read, offset, length, 0);
      link.send(reading, 0);
      events.replies.length = 0;
      turnUntil(() => events.replies.length === 1);
      expect(events.replies).toEqual([{ slot: reading, status: 0 }]);
      const got = new Uint8Array(slots.buffer, slots.payloadOffset(reading), length);
      expect(got.every((byte) => byte === index + 1)).toBe(true);
      slots.release(reading);
      events.replies.length = 0;
      offset += length;
    }
  });

  it('keeps many requests in flight, more than the peer has slots for', () => {
    connect();
    replica.holding = true;
    const sent: number[] = [];
    for (let index = 0; index < 150; index++) {
      const slot = request(index % 2 === 0 ? OpKind.write : OpKind.read, index * 4096, 4096, 7);
      link.send(slot, 0);
      sent.push(slot);
    }
    turnUntil(() => replica.held.length === 128);
    for (let turns = 0; turns < 5; turns++) loop.turn(1);
    expect(replica.maxHeld).toBe(128);
    replica.holding = false;
    replica.answerAll();
    turnUntil(() => events.replies.length === 150);
    expect(new Set(events.replies.map(({ slot }) => slot))).toEqual(new Set(sent));
    for (const slot of sent) slots.release(slot);
  });

  it('carries control messages and large bodies', () => {
    connect();
    link.control(5, { type: 'clear_marks', chunks: new Uint8Array(300_000).fill(5) });
    turnUntil(() => events.controls.length === 1);
    expect(events.controls[0]?.tag).toBe(5);
    expect(events.controls[0]?.reply.digests?.length).toBe(40_000);
    const [message] = replica.controls;
    expect(message?.type === 'clear_marks' && message.chunks.every((byte) => byte === 5)).toBe(
      true,
    );
  });

  it('tells a refusal once, and no broken connection after it', () => {
    replica.refuse = true;
    connect();
    for (let turns = 0; turns < 5; turns++) loop.turn(5);
    expect(events.hellos).toEqual([{ ok: false, code: 'fenced', message: 'epoch 4', epoch: 4 }]);
    expect(events.downs).toEqual([]);
  });

  it('says that a volume has no replica here', () => {
    link.open({ ...hello, volumeId: 'other' });
    turnUntil(() => events.hellos.length > 0);
    expect(events.hellos[0]).toMatchObject({ ok: false, code: 'unknown_replica' });
  });

  it('delivers nothing of an earlier session, and gives its slots back', () => {
    connect();
    replica.holding = true;
    const slot = request(OpKind.write, 0, 4096, 1);
    link.send(slot, 0);
    turnUntil(() => replica.held.length === 1);
    link.open({ ...hello, epoch: 4 });
    turnUntil(() => events.hellos.length === 2 && replica.closed.length === 1);
    expect(events.replies).toEqual([]);
    expect(events.downs).toEqual([]);
    slots.release(slot);
  });

  it('reports a peer that went away, is not there, or is unknown', () => {
    connect();
    registry.dropSession(1);
    turnUntil(() => events.downs.length === 1);
    listener.close();
    link.open(hello);
    turnUntil(() => events.downs.length === 2);
    expect(events.downs[1]).toContain('ECONNREFUSED');
    listener = new DataListener(
      { loop, outbox, handOver: (fd) => void closeFile(fd) },
      listenTcp({ host: '127.0.0.1', port: 0 }),
    );
    const stranger = new RemoteLink(
      {
        loop,
        outbox,
        views: new SlotViews(slots),
        checksums: new WriteChecksums(slots, new SlotViews(slots)),
        clusterId: 'c',
        addressOf: () => undefined,
        connect: connectTcp,
      },
      events,
      0,
      'node9',
    );
    stranger.open(hello);
    expect(events.downs.length).toBe(2);
    turnUntil(() => events.downs.length === 3);
    expect(events.downs[2]).toContain('no known address');
  });

  it('refuses a peer that is another node', () => {
    const wrong = new RemoteLink(
      {
        loop,
        outbox,
        views: new SlotViews(slots),
        checksums: new WriteChecksums(slots, new SlotViews(slots)),
        clusterId: 'cluster',
        addressOf: () => ({ host: '127.0.0.1', port }),
        connect: connectTcp,
      },
      events,
      0,
      'node3',
    );
    wrong.open(hello);
    turnUntil(() => events.downs.length === 1);
    expect(events.downs[0]).toContain('the peer is node node2');
    expect(events.hellos).toEqual([]);
  });

  it('drops a stranger that speaks no protocol, and its garbage harms nobody', () => {
    connect();
    const fd = connectTcp({ host: '127.0.0.1', port });
    const garbage = allocateMemory(4096);
    new Uint8Array(garbage.buffer).fill(0x55);
    loop.turn(20);
    expect(send(fd, garbage.address, 4096)).toBe(4096);
    for (let turns = 0; turns < 5; turns++) loop.turn(5);
    expect(listener.nextDeadline()).toBe(Infinity);
    closeFile(fd);
    const slot = request(OpKind.write, 0, 4096, 1);
    link.send(slot, 0);
    turnUntil(() => events.replies.length === 1);
    slots.release(slot);
  });
});
