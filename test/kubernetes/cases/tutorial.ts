import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { check } from '../runner/check.js';
import type { KubernetesCase } from '../runner/types.js';
import { diskPath } from '../cluster/layout.js';
import { ensurePx, pxImages } from '../px/install-px.js';

/** The commands of docs/tutorial.md, as a reader would type them. */
export const tutorial: KubernetesCase = {
  name: 'tutorial',
  timeoutMs: 15 * 60_000,
  images: [...pxImages, 'busybox'],
  run: async (cluster, helpers) => {
    await ensurePx(cluster, helpers);
    const text = await readFile(path.join(helpers.rootDir, 'docs/tutorial.md'), 'utf8');
    const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map((match) => match[1] ?? '');
    check(blocks.length >= 8, `only ${blocks.length} blocks of commands were found`);
    // Installed by the case before, as the first block would: helm refuses a second time.
    const script = ['set -euo pipefail', `export DRIVES='${diskPath(1)}'`, ...blocks.slice(1)];
    const ended = await cluster.runBeside(['bash', '-c', script.join('\n')], {
      cwd: helpers.rootDir,
      timeoutMs: 12 * 60_000,
      onOutput: (output) => process.stderr.write(output),
    });
    check(ended.code === 0, `the tutorial ended with ${ended.code}: ${ended.stderr.slice(-1500)}`);
  },
};
