import { readFile } from 'node:fs/promises';

/** What Ginkgo's --json-report holds, as far as it concerns us. */
interface GinkgoSpec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly LeafNodeType: string;
  readonly State: string;
  readonly RunTime: number;
  readonly Failure?: { readonly Message?: string };
}

interface GinkgoReport {
  readonly SpecReports: readonly GinkgoSpec[] | null;
}

export interface SpecResult {
  readonly name: string;
  /** skipped: the suite itself found at run time that the spec does not apply. */
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly message: string;
  readonly seconds: number;
}

/** The specs that Ginkgo chose; those that the focus left out are not among them. */
export async function readReport(file: string): Promise<SpecResult[]> {
  const reports = JSON.parse(await readFile(file, 'utf8')) as readonly GinkgoReport[];
  return reports
    .flatMap((report) => report.SpecReports ?? [])
    .filter((spec) => isChosen(spec))
    .map((spec) => ({
      name: shortName(spec),
      outcome: outcomeOf(spec.State),
      message: (spec.Failure?.Message ?? '').trim(),
      seconds: Math.round(spec.RunTime / 1e9),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isChosen(spec: GinkgoSpec): boolean {
  if (spec.LeafNodeType !== 'It') return outcomeOf(spec.State) === 'failed';
  // What the focus leaves out is "skipped" without a reason.
  return spec.State !== 'skipped' || (spec.Failure?.Message ?? '') !== '';
}

function outcomeOf(state: string): SpecResult['outcome'] {
  if (state === 'passed') return 'passed';
  return state === 'skipped' || state === 'pending' ? 'skipped' : 'failed';
}

function shortName(spec: GinkgoSpec): string {
  const words = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText];
  return words
    .join(' ')
    .replace(/^.*?\[Driver: [^\]]*\]\s*/, '')
    .trim();
}
