import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { buildImages, imageNames } from './build-images.js';

/** The compiled file is dist/test/kubernetes/images/main.js. */
const rootDir = fileURLToPath(new URL('../../../../', import.meta.url));

const program = new Command('images').description('The images of the test cluster, as archives');

program
  .command('build')
  .description('builds what is not in the cache, and prints name, size and archive')
  .option('--only <names>', `of ${imageNames.join(', ')}; separated by commas`)
  .action(async (options: { only?: string }) => {
    const started = Date.now();
    const built = await buildImages({
      rootDir,
      ...(options.only === undefined ? {} : { only: options.only.split(',') }),
      say: (text) => process.stderr.write(`${text}\n`),
    });
    for (const { name, sizeBytes, tar } of built) {
      const megabytes = (sizeBytes / 1e6).toFixed(1).padStart(7);
      process.stdout.write(`${name.padEnd(20)} ${megabytes} MB  ${tar}\n`);
    }
    process.stderr.write(`${((Date.now() - started) / 1000).toFixed(1)} s\n`);
  });

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
