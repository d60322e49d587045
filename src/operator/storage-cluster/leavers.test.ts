import { buildPlan } from './build-plan.js';
import { stopJobName, wipeJobName } from './components/wiper.js';
import type { Job, Pod } from './kubernetes-types.js';
import { leaverJobs } from './leavers.js';
import { podLabels } from './names.js';
import { testNode, testObserved } from './testing-observed.js';

const stop = stopJobName('node-3');
const wipe = wipeJobName('node-3');

const job = (name: string): Job => ({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name } });

const storagePod = (node: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: `px-node-of-${node}`, labels: podLabels('node') },
  spec: { nodeName: node },
});

interface Case {
  readonly labels?: Readonly<Record<string, string>>;
  readonly ready?: boolean;
  readonly forgotten?: boolean;
  readonly jobs?: readonly string[];
  readonly pods?: readonly Pod[];
}

const marked = { 'px.io/decommissioned': 'true' };
const toWipe = { 'px.io/decommissioned': 'wipe' };

it.each<[string, Case, readonly string[], readonly string[]]>([
  ['nobody was decommissioned', { labels: {} }, [], []],
  ['what outlived the pod ends', {}, [stop], [stop]],
  ['its pod is ending', { pods: [storagePod('node-3')] }, [stop], []],
  ['pods of others are theirs', { pods: [storagePod('node-1')] }, [stop], [stop]],
  ['nothing can end on a dead machine', { ready: false }, [stop], []],
  ['it has ended, and is not asked again', { jobs: [stop] }, [stop], []],
  [
    'a person wants its state gone',
    { labels: toWipe, jobs: [stop], forgotten: true },
    [wipe],
    [wipe],
  ],
  ['px has not let go of it yet', { labels: toWipe, jobs: [stop] }, [stop], []],
  ['px would not run there anyway', { labels: { ...marked, 'px/enabled': 'false' } }, [], []],
])('%s', (_, { labels = marked, ready = true, jobs = [], pods = [], forgotten }, kept, made) => {
  const nodes = [testNode('node-1'), testNode('node-2'), testNode('node-3', { labels, ready })];
  const wipeable = forgotten === true ? ['node-3'] : [];
  const requests = { forgotten: new Set(wipeable), waiting: [] };
  const plan = buildPlan(testObserved({}, { nodes, wipe: requests }));
  if (plan === undefined) throw new Error('nothing is planned');
  const found = leaverJobs(plan, { jobs: jobs.map(job), pods, nodes });
  const namesOf = (list: readonly { metadata: { name: string } }[]) =>
    list.map(({ metadata: { name } }) => name);
  expect([namesOf(found.kept), namesOf(found.made)]).toEqual([kept, made]);
});

it('has the configuration of a node that leaves, by which px there ends', () => {
  const nodes = [testNode('node-1'), testNode('node-3', { labels: marked })];
  const plan = buildPlan(testObserved({}, { nodes }));
  expect(plan?.leavers).toMatchObject([{ node: 'node-3', wipe: false }]);
  expect(Object.keys(plan?.nodeConfigs ?? {})).toEqual(['node-1.json']);
});
