import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

/** A page for people; its path is that from the root of the repository. */
export interface Document {
  readonly path: string;
  readonly text: string;
}

const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'deploy/README.md'] as const;
const folders = ['docs', 'deploy/examples', 'deploy/helm'] as const;

/** Every page that people are told to read. */
export function documents(): readonly Document[] {
  const found = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => join(folder, name)),
  );
  return [...pages, ...found.sort()].map(readDocument);
}

export function readDocument(path: string): Document {
  return { path, text: readFileSync(path, 'utf8') };
}

/** What stands between fences of that language, wherever it is indented. */
export function codeBlocks({ text }: Document, language: string): readonly string[] {
  const fence = new RegExp(`^( *)\`\`\`${language}\\n([\\s\\S]*?)^ *\`\`\`$`, 'gm');
  return [...text.matchAll(fence)].map(([, indent = '', code = '']) =>
    code.replace(new RegExp(`^${indent}`, 'gm'), ''),
  );
}

/** Commands as a shell reads them: continued lines are one, comments are none. */
export function commandLines(document: Document): readonly string[] {
  return codeBlocks(document, 'sh')
    .flatMap((code) => code.replace(/\\\n\s*/g, ' ').split('\n'))
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '');
}

export interface Manifest {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly spec?: unknown;
  readonly provisioner?: string;
  readonly driverName?: string;
  readonly parameters?: Readonly<Record<string, string>>;
}

export function manifestsIn(yaml: string): readonly Manifest[] {
  return parseAllDocuments(yaml).map((document) => {
    const [problem] = document.errors;
    if (problem !== undefined) throw problem;
    return document.toJS() as Manifest;
  });
}

/** The code in the cells of one column of all tables below a heading, or in the whole page. */
export function codeInColumn({ text }: Document, column: number, heading?: string): string[] {
  const at = heading === undefined ? 0 : text.indexOf(`\n${heading}\n`);
  if (at < 0) throw new Error(`there is no "${heading}"`);
  const rest = text.slice(at + 1);
  const end = heading === undefined ? -1 : rest.slice(1).search(/^## /m);
  return (end < 0 ? rest : rest.slice(0, end + 1))
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .flatMap((line) => [...(cells(line)[column] ?? '').matchAll(/`([^`]+)`/g)])
    .map(([, code = '']) => code);
}

/** The cells of a table's row; a `\|` is no border. */
export function cells(row: string): readonly string[] {
  return row
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll('\\|', '|'));
}
