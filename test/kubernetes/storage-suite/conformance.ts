import type { SpecResult } from './suite-report.js';

/** Why px does not claim a capability that the suite knows. */
const notClaimed: readonly (readonly [string, string])[] = [
  ['RWX, ReadOnlyMany', 'shared volumes are not there yet'],
  [
    'capacity',
    'px publishes it, by node, zone and region; the spec wants drivers with one topology key to ' +
      'publish by that key alone, and with several keys its topology specs want a volume to be ' +
      'usable only where it was allowed, while px volumes are usable in their whole region',
  ],
  ['groupSnapshot', 'snapshots of several volumes at one moment are not there yet'],
  ['volumeLimits', 'a node has no limit of its own unless `--max-volumes-per-node` gives one'],
  ['volumeMountGroup', 'the kubelet sets the group; the driver need not'],
  ['seLinuxMount', 'no SELinux on the machine of the test'],
  ['singleNodeVolume', 'a volume can be used from every node of its region'],
];

/** docs/conformance.md: what ran, and with what result. */
export function conformanceDocument(version: string, specs: readonly SpecResult[]): string {
  const count = (outcome: SpecResult['outcome']): number =>
    specs.filter((spec) => spec.outcome === outcome).length;
  const lines = [
    '# Conformance: the external storage suite of Kubernetes',
    '',
    "The Kubernetes project's own storage tests (`test/e2e` with `-storage.testdriver`) against px,",
    `on Kubernetes ${version}, on the cluster of \`npm run test:kubernetes\`. The specs tagged`,
    '`Disruptive`, `Serial` or `Slow`, and those for Windows and SELinux, are left out. Written by',
    '`PX_WRITE_CONFORMANCE=1 npm run test:kubernetes -- --only storage-suite`.',
    '',
    `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} do not apply (the suite`,
    'finds so at run time and says why).',
    '',
    '## Not claimed',
    '',
    ...notClaimed.map(([name, why]) => `- ${name}: ${why}.`),
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

function resultOf(spec: SpecResult): string {
  if (spec.outcome !== 'skipped') return spec.outcome;
  const reason = spec.message.split('\n')[0] ?? '';
  return `does not apply: ${escaped(reason)}`;
}

function escaped(text: string): string {
  return text.replace(/\|/g, '\\|').replace(/</g, '&lt;');
}
