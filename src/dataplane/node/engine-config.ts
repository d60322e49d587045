import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { EngineConfig, KvdbConfig } from '../engine/api.js';
import type { PoolSet } from '../pool/contracts.js';
import type { NodeConfig } from './config.js';

/** More threads than this only share the same disks. */
const maxIoThreads = 8;

export function kvdbConfig(config: NodeConfig, endpoints: readonly string[]): KvdbConfig {
  return {
    endpoints,
    username: config.kvdbUsername,
    password: config.kvdbPassword,
    caFile: config.kvdbCaFile,
    certFile: config.kvdbCertFile,
    keyFile: config.kvdbKeyFile,
  };
}

export function engineConfig(
  config: NodeConfig,
  nodeId: string,
  kvdb: KvdbConfig,
  dataAddress: { readonly host: string; readonly port: number },
  pools: PoolSet,
): EngineConfig {
  return {
    clusterId: config.clusterid,
    nodeId,
    runDir: config.runDir,
    kvdb,
    dataAddress,
    pools: pools.enginePools(),
    ioThreads: config.ioThreads ?? Math.min(maxIoThreads, availableParallelism()),
    timing: config.timing,
    tls: config.tls,
  };
}

/** What a restarted engine reads, so it is replaced whole; it may hold a password. */
export function writeEngineConfig(config: EngineConfig): void {
  mkdirSync(config.runDir, { recursive: true });
  const file = join(config.runDir, 'engine.json');
  const temporary = `${file}.new`;
  const descriptor = openSync(temporary, 'w', 0o600);
  writeSync(descriptor, JSON.stringify(config, null, 2));
  fsyncSync(descriptor);
  closeSync(descriptor);
  renameSync(temporary, file);
}
