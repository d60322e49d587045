import { PxError } from '../../kernel/errors.js';
import type { NodeApi } from '../../platform/grpc-client.js';
import { pxAddresses, type PxPod } from './px-addresses.js';
import { PxConnections } from './px-connections.js';

function pod(
  nodeName: string,
  podIP: string | undefined,
  ready: boolean,
  more: object = {},
): PxPod {
  return {
    ...{ apiVersion: 'v1', kind: 'Pod' },
    metadata: { name: `px-node-${nodeName}`, ...more },
    spec: { nodeName },
    status: {
      ...(podIP === undefined ? {} : { podIP }),
      phase: 'Running',
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  };
}

describe('pxAddresses', () => {
  test('pods that are ready come first; those without an address or on their way out count less', () => {
    const pods = [
      pod('c', '10.0.0.3', false),
      pod('b', 'fd00::2', true),
      pod('a', undefined, false),
      pod('d', '10.0.0.4', true, { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    ];
    expect(pxAddresses(pods, 9001)).toEqual([
      { nodeName: 'b', address: '[fd00::2]:9002', ready: true },
      { nodeName: 'c', address: '10.0.0.3:9002', ready: false },
      { nodeName: 'd', address: '10.0.0.4:9002', ready: false },
    ]);
  });
});

describe('PxConnections', () => {
  type Behaviour = 'operational' | 'kvdb_unavailable' | 'dead' | 'silent';
  let nodes: Map<string, Behaviour>;
  let asked: string[];
  let closed: string[];
  let px: PxConnections;

  beforeEach(() => {
    nodes = new Map();
    [asked, closed] = [[], []];
    px = new PxConnections({
      addresses: () =>
        [...nodes.keys()].map((nodeName) => ({ nodeName, address: nodeName, ready: true })),
      connect: (address) => fakeNode(address),
    });
  });

  function fakeNode(address: string): NodeApi {
    const GetStatus = async () => {
      asked.push(address);
      const behaviour = nodes.get(address);
      if (behaviour === 'silent') await new Promise(() => undefined);
      if (behaviour === 'dead') throw new PxError('unavailable', `${address} is dead`);
      return { state: behaviour };
    };
    return { address, GetStatus, close: () => closed.push(address) } as unknown as NodeApi;
  }

  const any = async (): Promise<string> => ((await px.any()) as NodeApi).address;

  test('the first that answers is taken, and kept while it is fresh', async () => {
    nodes.set('a', 'dead').set('b', 'operational');
    expect(await any()).toBe('b');
    nodes.set('a', 'operational');
    expect(await any()).toBe('b');
    expect(asked.filter((address) => address === 'b')).toHaveLength(1);
  });

  test('one that is silent holds nobody up for long', async () => {
    nodes.set('a', 'silent').set('b', 'operational');
    const startedAt = performance.now();
    expect(await any()).toBe('b');
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  test('one without its key-value store is no help', async () => {
    nodes.set('a', 'kvdb_unavailable').set('b', 'operational');
    expect(await any()).toBe('b');
  });

  test('when none answers, the error says what each said', async () => {
    nodes.set('a', 'dead').set('b', 'kvdb_unavailable');
    await expect(px.any()).rejects.toMatchObject({
      code: 'unavailable',
      message: 'no px-node answers: a is dead; px-node at b does not reach the kvdb',
    });
  });

  test('without a pod there is nobody to ask', async () => {
    await expect(px.any()).rejects.toMatchObject({ code: 'unavailable' });
    expect(await px.node('a')).toBeUndefined();
  });

  test('a node is reached by its name, and its connection goes with its pod', async () => {
    nodes.set('a', 'operational').set('b', 'operational');
    const first = await px.node('a');
    expect(await px.node('a')).toBe(first);
    nodes.delete('a');
    expect(await px.node('a')).toBeUndefined();
    expect(closed).toEqual(['a']);
    px.close();
  });
});
