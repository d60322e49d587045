import { resources } from '../../crds/resources.js';
import type { KubeObject, Resource } from '../ports.js';
import { buildPlan } from './build-plan.js';
import { wipeJob, wipeJobName } from './components/wiper.js';
import {
  nextDeletionStep,
  type DeletionInput,
  type DeletionNode,
  type DeletionStep,
} from './deletion.js';
import type { Job, Pod } from './kubernetes-types.js';
import { testObserved } from './testing-observed.js';

const plan = buildPlan(testObserved());

function object(resource: Resource, name: string) {
  const { apiVersion, kind } = resource;
  return { resource, object: { apiVersion, kind, metadata: { name } } };
}

const config = object(resources.configMap, 'px-config');
const account = object(resources.serviceAccount, 'px-node');
const daemons = object(resources.daemonSet, 'px-node');
const driver = object(resources.deployment, 'px-csi-controller');

function job(node: string, succeeded: boolean) {
  const made: Job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: wipeJobName(node), annotations: { 'px.io/node': node } },
    status: succeeded ? { succeeded: 1 } : {},
  };
  return { resource: resources.job, object: made };
}

const storagePod = (node: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: `px-node-${node}`, labels: { 'app.kubernetes.io/component': 'node' } },
  spec: { nodeName: node },
});

const ready = (name: string): DeletionNode => ({ name, presence: 'ready', skipped: false });

function input(more: Partial<DeletionInput>): DeletionInput {
  return {
    strategy: 'Uninstall',
    plan,
    kvdbIsInternal: true,
    attached: [],
    claims: [],
    leaving: [],
    owned: [config, account],
    pods: [],
    wiperProblems: [],
    nodes: [ready('node-1'), ready('node-2')],
    ...more,
  };
}

const shown = (step: DeletionStep) => ({
  remove: step.remove.map(({ object: { kind, metadata } }) => `${kind} ${metadata.name}`),
  make: step.make.map((one: KubeObject) => one.metadata.name),
  done: step.done,
  refused: step.refused,
});

const nothing = { remove: [], make: [], done: false, refused: false };
const jobs = (...nodes: string[]) => nodes.map(wipeJobName);

const cases: readonly [string, Partial<DeletionInput>, Partial<ReturnType<typeof shown>>][] = [
  [
    'attached volumes refuse it',
    { attached: ['pv on node-1'], owned: [daemons] },
    { refused: true },
  ],
  [
    'without a strategy attached volumes go on without px',
    { strategy: undefined, attached: ['pv on node-1'], owned: [daemons, config] },
    { remove: ['DaemonSet px-node', 'ConfigMap px-config'] },
  ],
  ['without a strategy nothing is wiped', { strategy: undefined, owned: [] }, { done: true }],
  ['what was never set up is gone at once', { plan: undefined, owned: [] }, { done: true }],
  [
    'bound claims keep their data from being wiped',
    { strategy: 'UninstallAndWipe', claims: ['default/data'], owned: [daemons] },
    { refused: true },
  ],
  [
    'bound claims do not keep px from being uninstalled',
    { claims: ['default/data'], owned: [daemons, config] },
    { remove: ['DaemonSet px-node'] },
  ],
  [
    'the driver stays until it has deleted what is to be deleted',
    { leaving: ['pv'], owned: [driver, config] },
    { refused: true },
  ],
  [
    'without its driver nobody deletes a volume any more',
    { leaving: ['pv'], owned: [daemons, config] },
    { remove: ['DaemonSet px-node'] },
  ],
  [
    'the storage pods go first, what the wipers need stays',
    { owned: [config, account, daemons, driver] },
    { remove: ['DaemonSet px-node', 'Deployment px-csi-controller'] },
  ],
  [
    'a node is wiped once its storage pod has ended',
    { pods: [storagePod('node-1')] },
    { make: jobs('node-2') },
  ],
  [
    'a wiper at work is waited for',
    { owned: [config, account, job('node-1', false), job('node-2', true)] },
    {},
  ],
  [
    'when all nodes are clean the configuration goes before the Jobs',
    { owned: [config, account, job('node-1', true), job('node-2', true)] },
    { remove: ['ConfigMap px-config', 'ServiceAccount px-node'] },
  ],
  [
    'then the Jobs, which are not made again',
    { owned: [job('node-1', true), job('node-2', true)] },
    { remove: jobs('node-1', 'node-2').map((name) => `Job ${name}`) },
  ],
  ['then it is done', { owned: [] }, { done: true }],
  [
    'a node that is not ready is waited for',
    { nodes: [ready('node-1'), { name: 'node-2', presence: 'silent', skipped: false }] },
    { make: jobs('node-1') },
  ],
  [
    'unless a person skips it',
    {
      nodes: [ready('node-1'), { name: 'node-2', presence: 'silent', skipped: true }],
      owned: [config, job('node-1', true)],
    },
    { remove: ['ConfigMap px-config'] },
  ],
  [
    'a node that is no more is not waited for',
    {
      nodes: [ready('node-1'), { name: 'node-2', presence: 'gone', skipped: false }],
      owned: [config, job('node-1', true)],
    },
    { remove: ['ConfigMap px-config'] },
  ],
];

it.each(cases)('%s', (_, more, expected) => {
  expect(shown(nextDeletionStep(input(more)))).toEqual({ ...nothing, ...expected });
});

it('names what is left behind, and how to go on without a silent node', () => {
  const silent: DeletionNode = { name: 'node-2', presence: 'silent', skipped: false };
  const step = nextDeletionStep(input({ nodes: [ready('node-1'), silent] }));
  expect(step.condition.message).toContain('not ready: node-2');
  expect(step.condition.message).toContain('px.io/skip-wipe-of-nodes');
  const gone: DeletionNode = { name: 'node-9', presence: 'gone', skipped: false };
  expect(nextDeletionStep(input({ nodes: [gone] })).condition.message).toContain(
    'left as they are: node-9',
  );
});

describe('the records of an external key-value store', () => {
  const nodes = ['node-1', 'node-2', 'node-3'].map(ready);
  const external = { strategy: 'UninstallAndWipe', kvdbIsInternal: false, nodes } as const;
  const argsOf = (step: DeletionStep) =>
    step.make.map((made) => [made.metadata.name, JSON.stringify(made).includes('--kvdb-keys')]);

  it('go with the last wiper, after all others have ended', () => {
    expect(argsOf(nextDeletionStep(input(external)))).toEqual([
      [wipeJobName('node-1'), false],
      [wipeJobName('node-2'), false],
    ]);
    const working = [config, job('node-1', true), job('node-2', false)];
    expect(argsOf(nextDeletionStep(input({ ...external, owned: working })))).toEqual([]);
    const others = [config, job('node-1', true), job('node-2', true)];
    expect(argsOf(nextDeletionStep(input({ ...external, owned: others })))).toEqual([
      [wipeJobName('node-3'), true],
    ]);
  });

  it('stay when the data stays', () => {
    const step = nextDeletionStep(input({ ...external, strategy: 'Uninstall' }));
    expect(argsOf(step).map(([, keys]) => keys)).toEqual([false, false, false]);
  });
});

it('wipes devices only with the strategy that says so', () => {
  if (plan === undefined) throw new Error('the plan is complete');
  const text = (devices: boolean) =>
    JSON.stringify(wipeJob(plan, { node: 'node-1', devices, kvdbKeys: false }));
  expect(text(true)).toContain('"--devices"');
  expect(text(false)).not.toContain('"--devices"');
});

it('gives each node a Job of its own, whatever its name', () => {
  const long = `${'a'.repeat(80)}.example.com`;
  expect(wipeJobName(`${long}1`)).not.toBe(wipeJobName(`${long}2`));
  expect(wipeJobName(long)).toMatch(/^[a-z0-9-]{1,63}$/);
});
