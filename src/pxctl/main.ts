#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { connectNode } from '../platform/grpc-client.js';
import { protoDirOf } from '../platform/proto.js';
import { runCommand } from '../platform/run-command.js';
import { runPxctl } from './program.js';

const protoDir = protoDirOf(import.meta.url);
const { version } = JSON.parse(readFileSync(join(dirname(protoDir), 'package.json'), 'utf8')) as {
  version: string;
};

// A reader that went away (`pxctl volume list | head -1`) is no failure of ours.
process.stdout.on('error', () => process.exit(0));

process.exitCode = await runPxctl(process.argv.slice(2), {
  version,
  connect: (endpoint, timeoutMs) => connectNode(endpoint, { timeoutMs, protoDir }),
  run: runCommand,
  mountInfoPath: '/proc/self/mountinfo',
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
