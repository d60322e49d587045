import type { Logger } from '../../platform/logger.js';
import type { ClusterView } from '../cluster/cluster-view.js';
import type { NodeRegistry } from '../cluster/node-registry.js';
import type { VolumeRepository } from '../cluster/volume-repository.js';
import type { EngineClient } from '../engine-client/engine-client.js';
import type { Kvdb, KvKeys } from '../kvdb/port.js';
import type { PolicyRepository } from '../policy/policy-repository.js';
import type { PoolSet } from '../pool/contracts.js';
import type { NodeConfig } from './config.js';
import type { InternalAttach } from './internal-attach.js';
import type { KeyedLocks } from './keyed-locks.js';
import type { NodeHealth } from './node-health.js';
import type { Peers } from './peers.js';
import type { ReplicaUsage } from './replica-usage.js';

/** What this node is called and where it is. */
export interface NodeSelf {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly clusterId: string;
  readonly mgmtAddress: string;
  readonly dataAddress: string;
}

/** The parts of a running px-node, handed to every operation. */
export interface NodeContext {
  readonly self: NodeSelf;
  readonly config: NodeConfig;
  readonly kvdb: Kvdb;
  readonly keys: KvKeys;
  readonly volumes: VolumeRepository;
  readonly policies: PolicyRepository;
  readonly view: ClusterView;
  readonly registry: NodeRegistry;
  readonly engine: EngineClient;
  readonly pools: PoolSet;
  readonly peers: Peers;
  readonly locks: KeyedLocks;
  readonly internal: InternalAttach;
  readonly health: NodeHealth;
  readonly usage: ReplicaUsage;
  /** SHA-256 of the configuration file that the daemon runs with. */
  readonly configHash: string;
  /** The runtime that the engine runs from, '' when it runs from where px-node does. */
  engineVersion(): string;
  readonly logger: Logger;
}

/** How long an operation waits for another one on the same volume. */
export const lockWaitMs = 20_000;
