import type { NodeStatus__Output } from '../gen/px/v1/NodeStatus.js';
import { chooseNodes } from './controller/placement.js';
import { TopologyKeys } from './topology.js';

const keys = new TopologyKeys('pxd.portworx.com');
const node = (id: string, zone: string, region: string) =>
  ({ id, name: `name-${id}`, zone, region, rack: '' }) as NodeStatus__Output;
const nodes = [node('a', 'z1', 'r1'), node('b', 'z2', 'r1'), node('c', 'z3', 'r2')];
const [a, b, c] = nodes as [NodeStatus__Output, NodeStatus__Output, NodeStatus__Output];
const inRegion = { anyRegion: false };
const term = (segments: Record<string, string>) => ({ segments });

const refusal = (code: string) => expect.objectContaining({ code }) as Error;

describe('topology', () => {
  it('describes a node with the driver keys and leaves out what it does not name', () => {
    expect(keys.segmentsOf(a)).toEqual({
      'topology.pxd.portworx.com/node': 'name-a',
      'topology.pxd.portworx.com/zone': 'z1',
      'topology.pxd.portworx.com/region': 'r1',
    });
    expect(keys.segmentsOf(node('x', '', ''))).toEqual({
      'topology.pxd.portworx.com/node': 'name-x',
    });
  });

  it('finds nodes by every segment of a term, in the order of the terms', () => {
    const zone2 = term({ 'topology.kubernetes.io/zone': 'z2' });
    const nodeA = term({ [keys.node]: 'name-a', [keys.region]: 'r1' });
    expect(keys.nodesIn([zone2, nodeA], nodes)).toEqual([b, a]);
    expect(keys.nodesIn([term({ [keys.node]: 'name-a', [keys.zone]: 'z2' })], nodes)).toEqual([]);
    expect(keys.nodesIn([term({ 'example.com/rack': 'z2' })], nodes)).toEqual([]);
  });

  it('keeps the replicas in the region that a pod needs, and prefers its node', () => {
    const placement = chooseNodes(
      keys,
      nodes,
      {
        requisite: [term(keys.segmentsOf(a)), term(keys.segmentsOf(b))],
        preferred: [term(keys.segmentsOf(b))],
      },
      inRegion,
    );
    expect(placement).toEqual({
      preferredNodes: ['b', 'a'],
      required: [{ segments: { region: 'r1' } }],
    });
    expect(chooseNodes(keys, nodes, null, inRegion)).toEqual({ preferredNodes: [], required: [] });
  });

  it('refuses a requirement that no node meets', () => {
    const nowhere = { requisite: [term({ [keys.zone]: 'z9' })], preferred: [] };
    expect(() => chooseNodes(keys, nodes, nowhere, inRegion)).toThrow(
      refusal('resource_exhausted'),
    );
  });

  it('says that a volume can be used in the regions of its replicas', () => {
    expect(keys.accessibleFrom([a, b])).toEqual([term({ [keys.region]: 'r1' })]);
    expect(keys.accessibleFrom([a, c])).toHaveLength(2);
    expect(keys.accessibleFrom([node('x', 'z', '')])).toEqual([]);
  });
});
