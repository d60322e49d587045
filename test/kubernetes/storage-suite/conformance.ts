import type { SpecResult } from './suite-report.js';

/** Why px does not claim a capability that the suite knows. */
const notClaimed: readonly (readonly [string, string])[] = [
  [
    'RWX, capReadOnlyMany',
    'a volume is used on one node at a time; the specs of the ROX mode want one on several',
  ],
  [
    'topology with several keys',
    'px publishes node, zone and region, and a volume can be used in its whole region wherever its ' +
      'replicas lie, so the region is the key that is named. The cluster of the test is one region: ' +
      'the specs that need two topologies find one. Specs that the suite keeps from any driver with ' +
      'topology keys (capacity, Immediate binding of ephemeral volumes) run with a definition ' +
      'without keys and are listed as "in one region"; that CSIStorageCapacity is right for each ' +
      'node and that the scheduler heeds it is tested by the case `storage-capacity`',
  ],
  ['groupSnapshot', 'snapshots of several volumes at one moment are not there yet'],
  [
    'volumeLimits',
    'a node has no limit of its own, so that its CSINode names none; ' +
      '`px-csi --max-volumes-per-node` gives it one',
  ],
  [
    'volumeMountGroup',
    'the kubelet sets the group of files (fsGroup and its change policies pass); the driver need not',
  ],
  ['seLinuxMount', 'no SELinux on the machine of the test'],
  ['singleNodeVolume', 'a volume can be used from every node of its region'],
  ['ext3', 'px makes ext4 and XFS'],
];

/** What the suite asks of no driver, or of no driver from outside of Kubernetes. */
const notAsked: readonly (readonly [string, string])[] = [
  [
    'Inline-volume, Pre-provisioned PV',
    'patterns of the drivers that are built into Kubernetes; the suite can make such volumes for ' +
      'no driver that comes as a definition. Pre-provisioned snapshots are another pattern, and pass',
  ],
  [
    'Block with mount options, with a file system to grow, read-only, or mounted twice',
    'a raw block volume has no file system',
  ],
  [
    'Snapshots of ephemeral volumes as persistent, and the reverse',
    'each pattern runs with the kind of volume that it is for',
  ],
  [
    'Volume health, stress, several volumes in several pods, disruption',
    'tagged `Slow`, `Serial` or `Disruptive`, or for one driver of the Kubernetes project only; ' +
      'the cases `interruptions` and `many-claims` do such things to px',
  ],
];

/** docs/conformance.md: what ran, and with what result. */
export function conformanceDocument(version: string, specs: readonly SpecResult[]): string {
  const count = (outcome: SpecResult['outcome']): number =>
    specs.filter((spec) => spec.outcome === outcome).length;
  const lines = [
    '# Conformance: the external storage suite of Kubernetes',
    '',
    "The Kubernetes project's own storage tests (`test/e2e` with `-storage.testdriver`) against px,",
    `on Kubernetes ${version}, on the cluster of \`npm run test:kubernetes\`, which fails when a spec`,
    'of this list is missing or passes no more. The specs tagged `Disruptive`, `Serial` or `Slow`,',
    'and those for Windows and SELinux, are left out. Written by',
    '`PX_WRITE_CONFORMANCE=1 npm run test:kubernetes -- --only storage-suite`.',
    '',
    `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} do not apply (the suite`,
    'finds so at run time and says why).',
    '',
    '## Not claimed',
    '',
    ...notClaimed.map(([name, why]) => `- ${name}: ${why}.`),
    '',
    '## Not asked',
    '',
    ...notAsked.map(([name, why]) => `- ${name}: ${why}.`),
    '',
    '## Specs',
    '',
    '| Spec | Result |',
    '| --- | --- |',
    ...specs.map((spec) => `| ${escaped(spec.name)} | ${resultOf(spec)} |`),
    '',
  ];
  return lines.join('\n');
}

/**
 * The specs that a document has and a run of the same Kubernetes has not, or not
 * with this result: a list of what passes must not get shorter by itself.
 */
export function missingFrom(
  document: string,
  version: string,
  specs: readonly SpecResult[],
): readonly string[] {
  if (!document.includes(`on Kubernetes ${version},`)) return [];
  const outcomes = new Map(specs.map((spec) => [escaped(spec.name), spec.outcome]));
  return rowsOf(document)
    .filter(({ name, passed }) => {
      const outcome = outcomes.get(name);
      return outcome === undefined || (passed && outcome !== 'passed');
    })
    .map(({ name }) => name);
}

function rowsOf(document: string): readonly { name: string; passed: boolean }[] {
  const rows = [...document.matchAll(/^\| (.+\S) +\| (passed|does not apply: .*\S) *\|$/gm)];
  return rows.map(([, name = '', result]) => ({ name, passed: result === 'passed' }));
}

function resultOf(spec: SpecResult): string {
  if (spec.outcome !== 'skipped') return spec.outcome;
  const reason = spec.message.split('\n')[0] ?? '';
  return `does not apply: ${escaped(reason)}`;
}

/** With single spaces, as a formatter leaves them: some names have two. */
function escaped(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/\|/g, '\\|').replace(/</g, '&lt;');
}
