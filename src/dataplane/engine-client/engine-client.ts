import { join } from 'node:path';
import { callJsonLines } from '../../platform/json-lines.js';
import type { EngineMethods } from '../engine/api.js';

export type EngineCall = <Method extends keyof EngineMethods>(
  method: Method,
  params: EngineMethods[Method]['params'],
  timeoutMs?: number,
) => Promise<EngineMethods[Method]['result']>;

export interface EngineClient {
  readonly call: EngineCall;
}

/**
 * How long each method may take. An attach waits out the lease of a dead
 * coordinator and settles its writes; a snapshot without reflinks is a real
 * copy; a check reads everything.
 */
const timeoutsMs: Readonly<Record<keyof EngineMethods, number>> = {
  'engine.status': 5_000,
  'engine.configure': 15_000,
  'replica.ensure': 15_000,
  'replica.remove': 15_000,
  'replica.fence': 10_000,
  'replica.list': 5_000,
  'volume.attach': 75_000,
  'volume.detach': 60_000,
  'volume.list': 5_000,
  'volume.status': 5_000,
  'volume.copy': 600_000,
  'volume.restore': 600_000,
  'volume.resize': 30_000,
  'volume.check': 3_600_000,
};

/** px-node's way to the engine of its node; one connection a request. */
export function createEngineClient(runDir: string): EngineClient {
  const socket = join(runDir, 'engine.sock');
  return {
    call: async (method, params, timeoutMs = timeoutsMs[method]) =>
      (await callJsonLines(socket, method, params, timeoutMs)) as never,
  };
}
