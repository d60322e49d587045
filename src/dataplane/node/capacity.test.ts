import type { GetCapacityRequest__Output } from '../../gen/px/v1/GetCapacityRequest.js';
import type { NodePool, NodeRecord } from '../cluster/node-record.js';
import { getCapacity } from './capacity.js';
import type { NodeContext } from './context.js';
import { testNode, testState, testVolume } from './testing-cluster.js';

const tib = 1024 ** 4;

function withPool(id: string, changes: Partial<NodePool>): NodeRecord {
  const node = testNode(id);
  return { ...node, pools: node.pools.map((pool) => ({ ...pool, ...changes })) };
}

async function ask(
  state: ReturnType<typeof testState>,
  asked: Partial<GetCapacityRequest__Output>,
) {
  const context = { view: { fresh: () => Promise.resolve(state) } } as unknown as NodeContext;
  const request = { topology: [], io_priority: '', replicas: 2, ...asked };
  return getCapacity(context, request);
}

const three = ['a', 'b', 'c'].map((id) => testNode(id));
const volume = testVolume('v', ['a', 'b'], { sizeBytes: 2 * tib });

test.each<[string, ReturnType<typeof testState>, { largest: number; available?: number }]>([
  ['an empty cluster', testState(three, []), { largest: 10 * tib, available: 1.5 * tib }],
  ['what is promised on two of three', testState(three, [volume]), { largest: 8 * tib }],
  ['a node that is down', testState(three, [], ['a']), { largest: 10 * tib, available: tib }],
  ['two nodes that are down', testState(three, [], ['a', 'b']), { largest: 0, available: 0 }],
  [
    'full pools, whatever they could promise',
    testState([...three.slice(0, 1), withPool('b', { availableBytes: 0 })], []),
    { largest: 0 },
  ],
  [
    'pools that are offline',
    testState([...three.slice(0, 1), withPool('b', { state: 'offline' })], []),
    { largest: 0 },
  ],
])('two replicas in %s', async (_, state, { largest, available }) => {
  const told = await ask(state, {});
  expect(told.maximum_volume_bytes).toBe(largest);
  if (available !== undefined) expect(told.available_bytes).toBe(available);
});

test('a class counts its own pools only', async () => {
  const state = testState([testNode('a'), withPool('b', { class: 'high' })], []);
  const one = { replicas: 1, io_priority: 'high' };
  expect(await ask(state, one)).toMatchObject({ maximum_volume_bytes: 10 * tib, total_bytes: tib });
});
