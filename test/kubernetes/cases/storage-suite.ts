import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { check } from '../runner/check.js';
import type { KubernetesCase } from '../runner/types.js';
import { conformanceDocument, missingFrom } from '../storage-suite/conformance.js';
import { runStorageSuite } from '../storage-suite/run-suite.js';
import { ensurePx, pxImages } from '../px/install-px.js';

const suiteTimeoutMs = 20 * 60_000;

/** The Kubernetes project's own storage tests against px. */
export const storageSuite: KubernetesCase = {
  name: 'storage-suite',
  timeoutMs: suiteTimeoutMs + 10 * 60_000,
  images: [...pxImages, 'busybox', 'agnhost'],
  run: async (cluster, helpers) => {
    await ensurePx(cluster, helpers);
    const specs = await runStorageSuite(cluster, {
      directory: helpers.artifactDir,
      timeoutMs: suiteTimeoutMs,
      workers: 6,
      focus: process.env.PX_STORAGE_FOCUS,
      onOutput: (text) => process.stderr.write(text),
    });
    for (const spec of specs.filter(({ outcome }) => outcome === 'failed')) {
      helpers.say(`FAILED ${spec.name}: ${spec.message.slice(0, 1000)}`);
    }
    const passed = specs.filter(({ outcome }) => outcome === 'passed').length;
    const skipped = specs.filter(({ outcome }) => outcome === 'skipped').length;
    check(passed > 0, 'the suite ran nothing');
    const file = path.join(helpers.rootDir, 'docs/conformance.md');
    if (process.env.PX_WRITE_CONFORMANCE !== undefined) {
      await writeFile(file, conformanceDocument(cluster.version, specs));
    } else if (process.env.PX_STORAGE_FOCUS === undefined) {
      const missing = missingFrom(await readFile(file, 'utf8'), cluster.version, specs);
      const words = `${missing.length} specs of docs/conformance.md are missing or do not pass`;
      check(missing.length === 0, `${words}: ${missing.join('; ')}`);
    }
    // What does not apply is no test that was left out: the suite decides it by what is claimed.
    helpers.say(`${passed} passed, ${skipped} do not apply`);
    return { passed, failed: specs.length - passed - skipped, skipped: 0 };
  },
};
