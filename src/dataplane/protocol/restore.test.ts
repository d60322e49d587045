import type { VolumeRecord } from '../../kernel/volume-record.js';
import { Coordinator } from './coordinator.js';
import type { ControlMessage } from './messages.js';
import { productionGeometry } from './ops.js';
import type { SlotTable } from './ops.js';
import type { CoordinatorHost, LinkFactory } from './ports.js';

/** Two replicas that say yes to everything but to comparing and to replacing their content. */
class Stage {
  nowMs = 0;
  readonly heard: [ControlMessage['type'][], ControlMessage['type'][]] = [[], []];
  readonly opened = [false, false];
  answerCopy: () => void = () => undefined;
  readonly coordinator: Coordinator;

  constructor() {
    const links: LinkFactory = {
      create: (link) => ({
        open: () => (this.opened[link] = true),
        close: () => (this.opened[link] = false),
        send: () => undefined,
        control: (tag, message) => this.control(link, tag, message),
      }),
    };
    const host: CoordinatorHost = {
      complete: () => undefined,
      requestChange: () => undefined,
      stateChanged: () => undefined,
    };
    this.coordinator = new Coordinator({
      ...{ clusterId: 'c', volumeId: 'v', nodeId: 'n0', token: 't', previousOwnerDead: false },
      ...{ links, host, slots: { capacity: 4 } as SlotTable, clock: { now: () => this.nowMs } },
      options: {
        ...{ heartbeatMs: 1000, leaseMs: 4000, replicaTimeoutMs: 4000, flushTimeoutMs: 30_000 },
        ...{ resyncBytesPerSecond: 1e9, cleanIntervalMs: 30_000, geometry: productionGeometry },
      },
    });
  }

  hello(link: number): void {
    expect(this.opened[link]).toBe(true);
    this.coordinator.onHello(link, {
      ...{ ok: true, lossy: false, blank: false, ringIntact: true, ring: [] },
      ...{ marks: new Uint8Array([0xff]), leaseRemainingMs: 0, sizeBytes: 32 << 20 },
    });
  }

  tickAt(nowMs: number): void {
    this.nowMs = nowMs;
    this.coordinator.tick(nowMs);
  }

  private control(link: number, tag: number, message: ControlMessage): void {
    this.heard[link as 0 | 1].push(message.type);
    const answer = (): void => this.coordinator.onControlReply(link, tag, { status: 0 });
    if (message.type === 'copy_from') this.answerCopy = answer;
    else if (message.type !== 'hash') answer();
  }
}

test('no replica is compared with content that is about to be replaced', () => {
  const stage = new Stage();
  const { coordinator } = stage;
  coordinator.start({
    ...{ epoch: 1, sizeBytes: 32 << 20, attachToken: 't' },
    replicas: [
      { id: 'r0', nodeId: 'n0', poolId: 'p', state: 'in_sync' },
      { id: 'r1', nodeId: 'n1', poolId: 'p', state: 'out' },
    ],
  } as unknown as VolumeRecord);
  stage.hello(0);
  stage.tickAt(1);
  expect(coordinator.status().phase).toBe('serving');
  stage.hello(1);
  expect(stage.heard[1]).toContain('hash');

  let restored = -1;
  coordinator.restoreFrom('snapshot', ['r0'], (status) => (restored = status));
  expect(stage.opened[1]).toBe(false);
  expect(stage.heard[0].at(-1)).toBe('copy_from');

  // The other one is back while the content is still being replaced.
  stage.heard[1].length = 0;
  stage.tickAt(2000);
  stage.hello(1);
  stage.tickAt(2500);
  expect(stage.heard[1]).not.toContain('hash');
  expect(restored).toBe(-1);

  stage.answerCopy();
  expect(restored).toBe(0);
  expect(stage.heard[1]).toContain('hash');
});
