import { join } from 'node:path';
import { connectNode, type NodeApi } from '../../src/platform/grpc-client.js';
import { runCommand } from '../../src/platform/run-command.js';
import { runPxctl } from '../../src/pxctl/program.js';

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const protoDir = join(process.cwd(), 'proto');

/** Runs a command line on a px-node; `alter` puts something between the two. */
export async function pxctlOn(
  address: string,
  args: readonly string[],
  alter: (api: NodeApi) => NodeApi = (api) => api,
): Promise<Outcome> {
  let out = '';
  let err = '';
  const code = await runPxctl(['--endpoint', address, ...args], {
    version: '0',
    connect: (endpoint, timeoutMs) => alter(connectNode(endpoint, { timeoutMs, protoDir })),
    run: runCommand,
    mountInfoPath: '/proc/self/mountinfo',
    out: (text) => (out += text),
    err: (text) => (err += text),
  });
  return { code, out, err };
}
