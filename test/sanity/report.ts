/** What is read of ginkgo's JSON report. */
export interface Spec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly LeafNodeType: string;
  readonly State: string;
  readonly Failure?: { readonly Message: string };
}

export interface Outcome {
  readonly passed: number;
  readonly failures: readonly string[];
  readonly skips: readonly string[];
}

/**
 * Skips that are right: capabilities that px does not claim, and csi-sanity's
 * own opt-in test of an attach limit that px does not have. Any other skip
 * means that something that should have been tested was not.
 */
const allowedSkips = [
  /^(Modify [Vv]olume|ControllerModifyVolume) not supported$/,
  /^GroupControllerService not supported$/,
  /^VolumeGroupSnapshots not supported$/,
  /^NodeGetStorageHealth not supported$/,
  /^SNAPSHOT_ACCESSIBILITY_CONSTRAINTS not supported$/,
  /^testnodevolumeattachlimit not enabled$/,
];

export function readReport(json: string): Outcome {
  const suites = JSON.parse(json) as { readonly SpecReports: readonly Spec[] | null }[];
  const failures: string[] = [];
  const skips: string[] = [];
  let passed = 0;
  for (const spec of suites.flatMap((suite) => suite.SpecReports ?? [])) {
    // csi-test itself marks one test pending (its XIt): there is nothing to run.
    if (spec.State === 'pending') continue;
    const name = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' ');
    const message = spec.Failure?.Message ?? '';
    if (spec.State === 'passed') passed += spec.LeafNodeType === 'It' ? 1 : 0;
    else if (spec.State !== 'skipped') failures.push(`${name}: ${message}`);
    else if (allowedSkips.some((allowed) => allowed.test(message))) skips.push(name);
    else failures.push(`${name}: skipped without need: ${message}`);
  }
  if (passed === 0) failures.push('nothing was run');
  return { passed, failures, skips };
}
