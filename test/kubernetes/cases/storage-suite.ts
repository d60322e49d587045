import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { check } from '../runner/check.js';
import type { KubernetesCase } from '../runner/types.js';
import { conformanceDocument } from '../storage-suite/conformance.js';
import { runStorageSuite } from '../storage-suite/run-suite.js';
import { ensurePx, pxImages } from '../px/install-px.js';

const suiteTimeoutMs = 45 * 60_000;

/** The Kubernetes project's own storage tests against px. */
export const storageSuite: KubernetesCase = {
  name: 'storage-suite',
  onRequest: true,
  timeoutMs: suiteTimeoutMs + 10 * 60_000,
  images: [...pxImages, 'busybox', 'agnhost'],
  run: async (cluster, helpers) => {
    await ensurePx(cluster, helpers);
    const specs = await runStorageSuite(cluster, {
      directory: helpers.artifactDir,
      timeoutMs: suiteTimeoutMs,
      workers: 4,
      focus: process.env.PX_STORAGE_FOCUS,
      onOutput: (text) => process.stderr.write(text),
    });
    for (const spec of specs.filter(({ outcome }) => outcome === 'failed')) {
      helpers.say(`FAILED ${spec.name}: ${spec.message.slice(0, 1000)}`);
    }
    const passed = specs.filter(({ outcome }) => outcome === 'passed').length;
    const skipped = specs.filter(({ outcome }) => outcome === 'skipped').length;
    check(passed > 0, 'the suite ran nothing');
    if (process.env.PX_WRITE_CONFORMANCE !== undefined) {
      const document = conformanceDocument(cluster.version, specs);
      await writeFile(path.join(helpers.rootDir, 'docs/conformance.md'), document);
    }
    // What does not apply is no test that was left out: the suite decides it by what is claimed.
    helpers.say(`${passed} passed, ${skipped} do not apply`);
    return { passed, failed: specs.length - passed - skipped, skipped: 0 };
  },
};
