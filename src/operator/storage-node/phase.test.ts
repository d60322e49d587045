import { phaseOf, type NodeObservation } from './phase.js';

type Px = Exclude<NodeObservation['px'], string>;
type Pod = NonNullable<NodeObservation['pod']>;

const running: Pod = { ready: true, terminating: false, ageMs: 3_600_000, trouble: undefined };
const starting: Pod = { ...running, ready: false, ageMs: 10_000 };
const kubernetes = { ready: true, decommissioned: false, outOfService: false };

function node(
  over: Partial<Omit<NodeObservation, 'px'>> & { readonly px?: Partial<Px> | 'silent' | 'unknown' },
): NodeObservation {
  const { px = {}, ...rest } = over;
  return {
    name: 'n1',
    kubernetes,
    pod: running,
    ...rest,
    px:
      typeof px === 'string'
        ? px
        : { state: 'operational', stateReason: '', maintenance: false, decommission: '', ...px },
  };
}

const offline = { state: 'offline', stateReason: 'its lease is over' };

it.each<[string, NodeObservation, string, RegExp]>([
  ['well', node({}), 'Online', /^$/],
  ['storageless', node({ px: { stateReason: 'it stores nothing' } }), 'Online', /stores nothing/],
  ['degraded', node({ px: { state: 'degraded', stateReason: 'a drive' } }), 'Degraded', /a drive/],
  ['without its kvdb', node({ px: { state: 'kvdb_unavailable' } }), 'NotInQuorum', /^$/],
  ['in maintenance', node({ px: { maintenance: true } }), 'Maintenance', /nothing new/],
  ['in maintenance by state', node({ px: { state: 'maintenance' } }), 'Maintenance', /^$/],
  ['joining', node({ px: { state: 'initializing' } }), 'Initializing', /^$/],
  ['losing its pod', node({ pod: { ...running, terminating: true } }), 'Updating', /replaced/],
  ['restarting', node({ px: offline, pod: starting }), 'Updating', /replaced/],
  ['between two pods', node({ px: offline, pod: undefined }), 'Updating', /replaced/],
  [
    'not coming up again',
    node({ px: offline, pod: { ...starting, ageMs: 400_000 } }),
    'Offline',
    /its lease is over/,
  ],
  [
    'crashing',
    node({ px: offline, pod: { ...starting, trouble: 'CrashLoopBackOff' } }),
    'Failed',
    /CrashLoop/,
  ],
  [
    'dead',
    node({ px: offline, kubernetes: { ...kubernetes, ready: false } }),
    'Offline',
    /kubelet is not ready/,
  ],
  [
    'fenced',
    node({ px: offline, kubernetes: { ...kubernetes, outOfService: true } }),
    'Offline',
    /fenced/,
  ],
  [
    'gone from Kubernetes',
    node({ px: offline, kubernetes: undefined, pod: undefined }),
    'Offline',
    /pxctl cluster delete n1.*px.io\/decommission=true/,
  ],
  [
    'decommissioned',
    node({ px: offline, kubernetes: { ...kubernetes, decommissioned: true } }),
    'Decommissioned',
    /moved/,
  ],
  [
    'decommissioned and forgotten',
    node({ px: 'unknown', kubernetes: { ...kubernetes, decommissioned: true } }),
    'Decommissioned',
    /forgotten/,
  ],
  ['not known to px yet', node({ px: 'unknown', pod: starting }), 'Initializing', /not know/],
  [
    'failing before px knew it',
    node({ px: 'unknown', pod: { ...starting, trouble: 'ImagePullBackOff' } }),
    'Failed',
    /ImagePull/,
  ],
  ['of a px that is silent', node({ px: 'silent' }), 'Unknown', /no px-node/],
  ['in a state from the future', node({ px: { state: 'sleeping' } }), 'Unknown', /"sleeping"/],
])('a node that is %s', (_, observation, phase, reason) => {
  const result = phaseOf(observation);
  expect(result.phase).toBe(phase);
  expect(result.reason).toMatch(reason);
});
