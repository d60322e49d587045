import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';

/** The name of what goes into an image: equal parts give an equal key. */
export function keyOf(parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}:${part}`);
  return hash.digest('hex').slice(0, 16);
}

/** Programs are large and are never changed in place: size and time tell them apart. */
export async function programPart(file: string): Promise<string> {
  const { size, mtimeMs } = await stat(file);
  return `${file}:${size}:${mtimeMs}`;
}

/** The content of files and of all files below folders, as the builder would copy them. */
export async function sourceParts(
  rootDir: string,
  names: readonly string[],
  skip: (file: string) => boolean,
): Promise<string[]> {
  const parts: string[] = [];
  const visit = async (name: string): Promise<void> => {
    if (skip(name)) return;
    const file = path.join(rootDir, name);
    const status = await stat(file);
    if (!status.isDirectory()) {
      parts.push(name, (await readFile(file)).toString('base64'));
      return;
    }
    for (const entry of (await readdir(file)).sort()) await visit(path.join(name, entry));
  };
  for (const name of names) await visit(name);
  return parts;
}
