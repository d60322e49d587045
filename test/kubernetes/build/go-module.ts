import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

/** What a go.mod under tools/ says: the packages of its `tool` lines and the versions. */
export interface GoModule {
  readonly dir: string;
  readonly tools: readonly string[];
  /** The oldest Go that takes it, as in `1.26.0`. */
  readonly goVersion: string;
  /** Module path to version, of every `require` line. */
  readonly versions: ReadonlyMap<string, string>;
  /** Changes whenever another program could come out. */
  readonly digest: string;
}

/** The lines of `keyword ( … )` blocks and of single `keyword …` lines. */
function directives(text: string, keyword: string): string[] {
  const found: string[] = [];
  let inBlock = false;
  for (const raw of text.split('\n')) {
    const line = raw.replace(/\/\/.*$/, '').trim();
    if (inBlock) {
      if (line === ')') inBlock = false;
      else if (line !== '') found.push(line);
    } else if (line === `${keyword} (`) {
      inBlock = true;
    } else if (line.startsWith(`${keyword} `)) {
      found.push(line.slice(keyword.length + 1).trim());
    }
  }
  return found;
}

export function parseGoMod(text: string): Pick<GoModule, 'tools' | 'goVersion' | 'versions'> {
  const versions = new Map<string, string>();
  for (const line of directives(text, 'require')) {
    const [module, version] = line.split(/\s+/);
    if (module !== undefined && version !== undefined) versions.set(module, version);
  }
  return { tools: directives(text, 'tool'), goVersion: directives(text, 'go')[0] ?? '', versions };
}

/** Compares versions as `1.26.0` or `go1.26.8`: negative when `a` is the older one. */
export function compareGoVersions(a: string, b: string): number {
  const numbers = (text: string): number[] => (text.match(/\d+/g) ?? []).map(Number);
  const [left, right] = [numbers(a), numbers(b)];
  for (let index = 0; index < 3; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The longest required module that a package's path begins with. */
export function moduleOf(
  packagePath: string,
  versions: ReadonlyMap<string, string>,
): { readonly module: string; readonly version: string } {
  let best: { module: string; version: string } | undefined;
  for (const [module, version] of versions) {
    if (packagePath !== module && !packagePath.startsWith(`${module}/`)) continue;
    if (best === undefined || module.length > best.module.length) best = { module, version };
  }
  if (best === undefined) throw new Error(`go.mod requires no module that has ${packagePath}`);
  return best;
}

export async function readGoModule(dir: string): Promise<GoModule> {
  const goMod = await readFile(path.join(dir, 'go.mod'), 'utf8');
  const goSum = await readFile(path.join(dir, 'go.sum'), 'utf8');
  const digest = createHash('sha256').update(goMod).update('\0').update(goSum).digest('hex');
  return { dir, ...parseGoMod(goMod), digest };
}
