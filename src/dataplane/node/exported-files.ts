import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import { writeDurably } from '../store/durable-files.js';
import type { NodeConfig } from './config.js';

const kvdbFiles = ['kvdbCaFile', 'kvdbCertFile', 'kvdbKeyFile'] as const;
const tlsFiles = ['caFile', 'certFile', 'keyFile'] as const;

/**
 * The configuration as the engine on the host can use it: certificates and
 * keys that a Secret shows in this container only are copied to the run
 * directory, which is the host's. Their names hold a hash of what is in them,
 * so that other content is another configuration.
 */
export function exportFiles(config: NodeConfig): NodeConfig {
  const directory = join(config.runDir, 'credentials');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const kept = new Set<string>();
  const put = (field: string, file: string): string => {
    const content = readCredential(field, file);
    const hash = createHash('sha256').update(content).digest('hex').slice(0, 16);
    const name = `${hash}-${basename(file)}`;
    if (!readdirSync(directory).includes(name)) writeDurably(join(directory, name), content);
    kept.add(name);
    return join(directory, name);
  };
  const exported: { -readonly [K in keyof NodeConfig]: NodeConfig[K] } = { ...config };
  for (const field of kvdbFiles) {
    const file = config[field];
    if (file !== undefined) exported[field] = put(field, file);
  }
  if (config.tls !== undefined) {
    const tls = { ...config.tls };
    for (const field of tlsFiles) tls[field] = put(`tls.${field}`, tls[field]);
    exported.tls = tls;
  }
  for (const name of readdirSync(directory)) {
    if (!kept.has(name)) rmSync(join(directory, name), { force: true });
  }
  return exported;
}

function readCredential(field: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new PxError('invalid_argument', `${field}: cannot read ${file}`, {}, error);
  }
}
