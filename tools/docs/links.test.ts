import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { documents, readDocument } from './documents.js';

/** GitHub's rule for the anchor of a heading. */
function anchorsOf(text: string): readonly string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

const all = documents();

test.each(all.map((document) => [document.path, document] as const))(
  'the links of %s lead somewhere',
  (path, { text }) => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link = '']) => link)
      .filter((link) => !/^[a-z]+:/.test(link));
    const broken = links.filter((link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? path : join(dirname(path), file);
      if (!existsSync(target)) return true;
      if (anchor === undefined || statSync(target).isDirectory()) return false;
      return !anchorsOf(readDocument(target).text).includes(anchor);
    });
    expect(broken).toEqual([]);
  },
);

test('every page of docs/ is in its index', () => {
  const index = readDocument('docs/README.md').text;
  const missing = all
    .map(({ path }) => path)
    .filter((path) => path.startsWith('docs/') && !path.startsWith('docs/adr/'))
    .map((path) => path.slice('docs/'.length))
    .filter((path) => path !== 'README.md' && !index.includes(path));
  expect(missing).toEqual([]);
});
