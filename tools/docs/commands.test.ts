import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { PxError } from '../../src/kernel/errors.js';
import {
  clusterAnnotations,
  nodeAnnotations,
  nodeLabels,
  storageNodeAnnotations,
} from '../../src/operator/names.js';
import { annotationKeys, labelKeys } from '../../src/operator/storage-cluster/names.js';
import type { PxctlDeps } from '../../src/pxctl/context.js';
import { exitCodes } from '../../src/pxctl/exit-codes.js';
import { runPxctl } from '../../src/pxctl/program.js';
import { commandLines, documents } from './documents.js';

const all = documents();
const lines = all.flatMap((document) =>
  commandLines(document).map((line) => [document.path, line] as const),
);

/** Words as a shell makes them of a line without substitutions. */
function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single ?? double ?? bare ?? '',
  );
}

const pxctlLines = lines.flatMap(([path, line]) => {
  const [, command] = /(?:^|-- )pxctl ([^|]+)/.exec(line) ?? [];
  return command === undefined ? [] : [[path, command.trim()] as const];
});

/** Within sentences a command may stand without what it is for. */
const pxctlNames = all.flatMap(({ path, text }) =>
  [...text.matchAll(/`pxctl ([^`]+)`/g)].map(([, command = '']) => [path, command] as const),
);

/** No px-node answers: a command that is understood ends with that, whatever it is. */
function deafPx(said: string[]): PxctlDeps {
  const silent = () => Promise.reject(new PxError('unavailable', 'nobody answers'));
  return {
    version: '0',
    connect: () =>
      new Proxy({} as ReturnType<PxctlDeps['connect']>, {
        get: (_, name) => (name === 'close' ? () => undefined : silent),
      }),
    run: silent,
    mountInfoPath: '/proc/self/mountinfo',
    out: () => undefined,
    err: (text) => said.push(text),
  };
}

test('there are commands to look at', () => {
  expect(pxctlLines.length).toBeGreaterThan(10);
});

async function outcome(command: string): Promise<{ code: number; said: string }> {
  const said: string[] = [];
  const code = await runPxctl(words(command), deafPx(said));
  return { code, said: said.join('') };
}

test.each(pxctlLines)('%s: pxctl %s', async (_, command) => {
  expect(await outcome(command)).toMatchObject({ code: exitCodes.unavailable });
});

test.each(pxctlNames)('%s: a sentence with pxctl %s', async (_, command) => {
  const { code, said } = await outcome(command);
  if (code === exitCodes.usage)
    expect(said).toMatch(/missing required argument|argument missing|^Usage: /);
  else expect(code).toBe(exitCodes.unavailable);
});

const helmKeys = lines.flatMap(([path, line]) =>
  line.startsWith('helm ')
    ? [...line.matchAll(/--set "?([\w.]+)=/g)].map(([, key = '']) => [path, key] as const)
    : [],
);

test.each(helmKeys)('%s: the chart has the value %s', (_, key) => {
  let at: unknown = parse(readFileSync('deploy/helm/values.yaml', 'utf8'));
  for (const name of key.split('.')) {
    expect(Object.keys(at as object)).toContain(name);
    at = (at as Record<string, unknown>)[name];
  }
});

const knownNames: readonly string[] = [
  clusterAnnotations,
  nodeAnnotations,
  nodeLabels,
  storageNodeAnnotations,
  annotationKeys,
  labelKeys,
].flatMap((names) => Object.values(names));
/** Of the data plane's volumes and snapshots. */
const knownElsewhere = [
  'px.io/coerced-by-policy',
  'px.io/snapshot-schedule',
  'px.io/snapshot-slot',
];

test('annotations and labels of px.io are those that the programs know', () => {
  const named = all.flatMap(({ path, text }) =>
    [...text.matchAll(/\bpx\.io\/[a-z-]+[a-z]/g)].map(([name]) => ({ path, name })),
  );
  expect(named.length).toBeGreaterThan(20);
  const known = [...knownNames, ...knownElsewhere];
  expect(named.filter(({ name }) => !known.includes(name))).toEqual([]);
});

test('every annotation that a person may set is in the reference', () => {
  const page = all.find(({ path }) => path === 'docs/reference/labels-and-annotations.md');
  expect(knownNames.filter((name) => page?.text.includes(name) !== true)).toEqual([]);
});
