import { PxError } from '../../kernel/errors.js';
import { silentLogger } from '../../platform/logger.js';
import type { OperatorContext } from '../ports.js';
import { wipeRequests } from './forgotten-nodes.js';
import { testNode } from './testing-observed.js';

const wipe = { 'px.io/decommissioned': 'wipe' };
const left = { 'px.io/decommissioned': 'true' };

function pxWith(names: readonly string[] | Error): Pick<OperatorContext, 'px' | 'logger'> {
  const api = {
    CheckNodeStop: async ({ node_id: name }: { node_id: string }) => {
      if (names instanceof Error) throw names;
      if (!names.includes(name)) throw new PxError('not_found', `there is no node "${name}"`);
      return { safe: false, reasons: [], volumes_at_risk: [] };
    },
  };
  return { px: { any: async () => api }, logger: silentLogger } as unknown as OperatorContext;
}

it.each([
  ['nobody asks', { b: left }, ['a', 'b'], [], []],
  ['px has forgotten the node', { b: wipe }, ['a', 'c'], ['b'], []],
  ['px still knows it, replicas and all', { b: wipe }, ['a', 'b', 'c'], [], ['b']],
  ['each by itself', { a: wipe, b: wipe, c: left }, ['a', 'c'], ['b'], ['a']],
  ['px cannot be asked', { b: wipe }, new Error('away'), [], ['b']],
  ['etcd is away', { b: wipe }, new PxError('kvdb_unavailable', 'away'), [], ['b']],
] as const)('%s', async (_, labels: Record<string, object>, known, forgotten, waiting) => {
  const nodes = ['a', 'b', 'c'].map((name) => testNode(name, { labels: { ...labels[name] } }));
  const found = await wipeRequests(pxWith(known), nodes);
  expect([[...found.forgotten], found.waiting]).toEqual([forgotten, waiting]);
});
