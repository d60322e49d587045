import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { CallContext } from '../../platform/grpc-server.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import { atCoordinator } from './coordinator-node.js';
import type { NodeContext } from './context.js';
import { testNode, testState, testVolume } from './testing-cluster.js';

const nodes = ['a', 'b', 'c'].map((id) => testNode(id));
const call = { metadata: () => '' } as unknown as CallContext;

/** Node b, as which the test asks, with what etcd and its engine say one after the other. */
function nodeB(states: readonly ClusterState[], leased: readonly boolean[]) {
  const looks = { state: 0, lease: 0 };
  const context = {
    self: { id: 'b' },
    view: { fresh: async () => states[Math.min(looks.state++, states.length - 1)] },
    engine: {
      call: async () => [
        { volumeId: 'v', isLeased: leased[Math.min(looks.lease++, leased.length - 1)] },
      ],
    },
    peers: { api: (id: string) => id },
  } as unknown as NodeContext;
  return { context, looks };
}

function attached(changes: Partial<VolumeRecord> = {}): VolumeRecord {
  return testVolume('v', ['a', 'b'], { attachedOn: 'a', publishedOn: 'a', ...changes });
}

function doneAt(context: NodeContext, record: VolumeRecord): Promise<unknown> {
  return atCoordinator(
    context,
    call,
    record,
    async (): Promise<unknown> => 'here',
    async (peer) => peer,
  );
}

describe('work on the content of a volume', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  /** All that it waits for comes at once. */
  async function settled<T>(done: Promise<T>): Promise<PromiseSettledResult<T>> {
    const [[result]] = await Promise.all([
      Promise.allSettled([done]),
      jest.advanceTimersByTimeAsync(20_000),
    ]);
    return result;
  }

  it('is done where the volume is attached', async () => {
    const record = attached();
    const { context } = nodeB([testState(nodes, [record])], [true]);
    expect(await settled(doneAt(context, record))).toMatchObject({ value: 'a' });
  });

  it('is refused while the engine of a node serves it whose px-node is away', async () => {
    const record = attached();
    const { context } = nodeB([testState(nodes, [record], ['a'])], [true]);
    const reason = {
      code: 'unavailable',
      message: expect.stringContaining('served by name-a') as string,
    };
    expect(await settled(doneAt(context, record))).toMatchObject({ status: 'rejected', reason });
  });

  it('is refused at once when that px-node is back', async () => {
    const record = attached();
    const away = testState(nodes, [record], ['a']);
    const { context, looks } = nodeB([away, away, testState(nodes, [record])], [true]);
    const reason = { code: 'unavailable' };
    expect(await settled(doneAt(context, record))).toMatchObject({ status: 'rejected', reason });
    expect(looks.state).toBe(3);
  });

  it('is done here once the lease of a dead node has ended', async () => {
    const record = attached();
    const { context, looks } = nodeB([testState(nodes, [record], ['a'])], [true, true, false]);
    expect(await settled(doneAt(context, record))).toMatchObject({ value: 'here' });
    expect(looks.lease).toBe(3);
  });

  it.each([
    ['that nobody has attached', { attachedOn: '', publishedOn: '' }],
    ["that is attached for a dead node's own work", { publishedOn: '' }],
    ['that is attached here', { attachedOn: 'b', publishedOn: 'b' }],
  ])('is done here for a volume %s', async (_, changes) => {
    const record = attached(changes);
    const { context } = nodeB([testState(nodes, [record], ['a'])], [true]);
    expect(await settled(doneAt(context, record))).toMatchObject({ value: 'here' });
  });
});
