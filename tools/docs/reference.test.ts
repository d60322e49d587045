import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { storageClusterPhases } from '../../src/crds/storage-cluster.js';
import { storageNodePhases } from '../../src/crds/storage-node.js';
import { nodeConfigSchema, portsOf } from '../../src/dataplane/node/config.js';
import { cells, codeInColumn, readDocument } from './documents.js';

/** The code of a folder, without its tests and what only they use. */
function codeOf(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/\.test\.ts$|(^|\/)testing-/.test(name))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');
}

function sorted(names: Iterable<string>): string[] {
  return [...new Set(names)].sort();
}

type Json = { readonly properties?: Record<string, Json>; readonly default?: unknown };

/** `storage.devices` and its default, for each field that is no group of others. */
function fieldsOf(schema: Json, prefix = ''): Map<string, unknown> {
  const fields = new Map<string, unknown>();
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const path = `${prefix}${name}`;
    if (field.properties === undefined) fields.set(path, field.default);
    else for (const [inner, value] of fieldsOf(field, `${path}.`)) fields.set(inner, value);
  }
  return fields;
}

describe('docs/reference/configuration.md', () => {
  const page = readDocument('docs/reference/configuration.md');
  const fields = fieldsOf(z.toJSONSchema(nodeConfigSchema, { io: 'input' }) as Json);
  const rows = page.text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map(cells);

  it('has every field', () => {
    expect(sorted(rows.map(([name = '']) => name.replaceAll('`', '')))).toEqual(
      sorted(fields.keys()),
    );
  });

  it.each([...fields].filter(([, value]) => value !== undefined))('%s: %j', (name, value) => {
    const row = rows.find(([field]) => field === `\`${name}\``);
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    expect(row?.[2]).toBe(`\`${text}\``);
  });
});

describe('docs/reference/flags.md and its siblings', () => {
  /** The long names of the options that a program adds. */
  const flagsIn = (file: string): string[] =>
    sorted(
      [...readFileSync(file, 'utf8').matchAll(/(?:ption\(\s*)'(?:-\w, )?(--[a-z-]+)/g)].map(
        ([, flag = '']) => flag,
      ),
    );
  const flagsOf = (codes: readonly string[]): string[] =>
    sorted(codes.flatMap((code) => /^--[a-z-]+/.exec(code) ?? []));
  const page = readDocument('docs/reference/flags.md');

  it.each([
    ['px-node', 'src/dataplane/node/main.ts', codeInColumn(page, 1, '## px-node')],
    ['px-csi', 'src/csi/main.ts', codeInColumn(page, 0, '## px-csi')],
  ])('%s', (_, file, documented) => {
    expect(flagsIn(file).length).toBeGreaterThan(5);
    expect(flagsOf(documented)).toEqual(flagsIn(file));
  });

  it('px-operator', () => {
    const { text } = readDocument('docs/reference/px-operator.md');
    const flags = flagsIn('src/operator/main.ts');
    expect(flags.length).toBeGreaterThan(5);
    expect(flags.filter((flag) => !text.includes(`\`${flag}`))).toEqual([]);
  });
});

describe('metrics', () => {
  const named = (code: string): string[] =>
    sorted([...code.matchAll(/'(px_[a-z_]+|process_[a-z_]+)'/g)].map(([, name = '']) => name));

  it('of px-node are those of the page', () => {
    const page = readDocument('docs/reference/metrics.md');
    const documented = codeInColumn(page, 0, '## px-node').filter((name) => /^px_\w+$/.test(name));
    expect(sorted(documented)).toEqual(
      named(readFileSync('src/dataplane/node/metrics.ts', 'utf8')),
    );
  });

  it('of px-operator are those of the page', () => {
    const documented = codeInColumn(readDocument('docs/reference/px-operator.md'), 0, '## Metrics');
    expect(sorted(documented)).toEqual(named(readFileSync('src/operator/run/metrics.ts', 'utf8')));
  });
});

test('docs/reference/ports.md has every port', () => {
  const documented = codeInColumn(readDocument('docs/reference/ports.md'), 0);
  const { text } = readDocument('docs/reference/ports.md');
  for (const port of Object.values(portsOf(9001))) expect(text).toContain(`\n| ${port} `);
  expect(documented).toContain('startPort');
});

describe('docs/how-to/read-conditions.md', () => {
  const { text } = readDocument('docs/how-to/read-conditions.md');
  const code = codeOf('src/operator');
  /** Words of Kubernetes' own objects, not of conditions and events. */
  const others = ['Normal', 'Warning', 'Directory', 'DirectoryOrCreate', 'RollingUpdate'];
  const elsewhere = ['RuntimeDefault', 'ClusterIP'];

  it('has every type and reason that the operator writes', () => {
    const said = [
      ...code.matchAll(/\b(?:type|reason): '([A-Z][a-z]\w+)'/g),
      ...code.matchAll(/\b(?:note|answer|step)\(\s*(?:'(?:Normal|Warning)', )?'([A-Z]\w+)'/g),
      ...code.matchAll(/\.say\(\s*[\w.]+,\s*'(?:Normal|Warning)',\s*'([A-Z]\w+)'/g),
    ].map(([, word = '']) => word);
    const known = [...others, ...elsewhere];
    const missing = sorted(said).filter(
      (word) => !known.includes(word) && !text.includes(`\`${word}\``),
    );
    expect(sorted(said).length).toBeGreaterThan(40);
    expect(missing).toEqual([]);
  });

  it('has every phase', () => {
    const phases = [...storageClusterPhases, ...storageNodePhases];
    expect(phases.filter((phase) => !text.includes(`\n| \`${phase}\``))).toEqual([]);
  });
});
