import { readFileSync } from 'node:fs';
import { generatedFiles } from './render.js';

describe('the files made from the custom resources', () => {
  test.each(Object.entries(generatedFiles()))('%s is as the source says', (path, text) => {
    // When this fails, `npm run crds` writes it anew.
    expect(readFileSync(path, 'utf8')).toBe(text);
  });
});
