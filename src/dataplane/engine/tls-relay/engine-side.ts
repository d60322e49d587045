import { chmodSync, rmSync } from 'node:fs';
import { listenTcp, listenUnix } from '../../sys/sockets.js';
import type { EngineConfig } from '../api.js';
import { defaultBounds, enginePathOf, relayPathOf, type TlsRelaySettings } from './settings.js';

/** The engine's listener: the data port itself, or with TLS a socket that only the relay opens. */
export function openDataListener({ tls, runDir, dataAddress }: EngineConfig): number {
  if (tls === undefined) return listenTcp(dataAddress);
  const path = enginePathOf(runDir);
  // Left by an engine before this one; the holder never runs two.
  rmSync(path, { force: true });
  const listener = listenUnix(path);
  chmodSync(path, 0o600);
  return listener;
}

/** Where links connect to; undefined when they connect to the other nodes themselves. */
export function relayPathFor({ tls, runDir }: EngineConfig): string | undefined {
  return tls === undefined ? undefined : relayPathOf(runDir);
}

export function relaySettings(config: EngineConfig): TlsRelaySettings | undefined {
  const { clusterId, nodeId, dataAddress, runDir, tls } = config;
  if (tls === undefined) return undefined;
  return {
    ...{ clusterId, nodeId, dataAddress, tls },
    enginePath: enginePathOf(runDir),
    relayPath: relayPathOf(runDir),
    bounds: defaultBounds,
  };
}
