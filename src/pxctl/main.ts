import { protoDirOf } from '../platform/proto.js';
import { runCommand } from '../platform/run-command.js';
import { runPxctl } from './program.js';

process.exitCode = await runPxctl(process.argv.slice(2), {
  protoDir: protoDirOf(import.meta.url),
  version: '0.1.0',
  defaultEndpoint: process.env.PXCTL_ENDPOINT ?? 'unix:///run/px/px-node.sock',
  run: runCommand,
  print: (text) => process.stdout.write(`${text}\n`),
  printError: (text) => process.stderr.write(`${text}\n`),
});
