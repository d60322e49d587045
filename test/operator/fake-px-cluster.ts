import type { CheckNodeStopResponse__Output } from '../../src/gen/px/v1/CheckNodeStopResponse.js';
import type { DecommissionNodeResponse__Output } from '../../src/gen/px/v1/DecommissionNodeResponse.js';
import type { NodeStatus__Output } from '../../src/gen/px/v1/NodeStatus.js';
import type { Volume__Output } from '../../src/gen/px/v1/Volume.js';
import { PxError } from '../../src/kernel/errors.js';
import type { PxCluster, PxNode } from '../../src/operator/ports.js';

/**
 * A FAKE data plane: what the operator's controllers ask of px, answered from
 * memory, and what they did noted. That a fenced node cannot write is tested on
 * the real one.
 */
export class FakePxCluster implements PxCluster {
  readonly nodes = new Map<string, NodeStatus__Output>();
  volumes: Volume__Output[] = [];
  /** Every call that changes something: `FenceNode n1 force`. */
  readonly calls: string[] = [];
  /** What FenceNode answers as not fenced yet. */
  unfenced: string[] = [];
  /** The ids of the volumes that it answers as fenced. */
  fenced: string[] = ['v1'];
  /** Node name → why it may not stop. */
  readonly mayNotStop = new Map<string, string>();
  silent = false;
  /** Each node answers for itself only, and says so. */
  kvdbAway = false;

  addNode(name: string, over: Partial<NodeStatus__Output> = {}): void {
    this.nodes.set(name, {
      ...emptyStatus,
      id: `px-${name}`,
      name,
      mgmt_address: '10.0.0.1:9002',
      data_address: '10.0.0.1:9003',
      ...over,
    });
  }

  change(name: string, over: Partial<NodeStatus__Output>): void {
    this.nodes.set(name, { ...this.named(`px-${name}`), ...over });
  }

  addVolume(id: string, status: string, nodeNames: readonly string[], states: readonly string[]) {
    const replicas = nodeNames.map((name, index) => ({
      node_id: `px-${name}`,
      pool_id: `pool-${name}`,
      state: states[index] ?? 'in_sync',
    }));
    const volume = { id, name: id, status, status_reason: '', parent_id: '', replicas };
    this.volumes = [
      ...this.volumes.filter((one) => one.id !== id),
      { read_only: false, ...volume } as unknown as Volume__Output,
    ];
  }

  async any(): Promise<PxNode> {
    if (this.silent) throw new PxError('unavailable', 'the fake is silent');
    if (this.kvdbAway) throw new PxError('unavailable', 'no node of the fake reaches the kvdb');
    return this.api();
  }

  async node(name: string): Promise<PxNode | undefined> {
    const node = this.nodes.get(name);
    if (this.silent || node === undefined || node.state === 'offline') return undefined;
    const away = { state: 'kvdb_unavailable', state_reason: 'etcd does not answer' };
    const GetStatus = async () => ({ ...node, ...(this.kvdbAway ? away : {}) });
    return { ...this.api(), GetStatus };
  }

  private named(idOrName: string): NodeStatus__Output {
    const found = [...this.nodes.values()].find((one) => [one.id, one.name].includes(idOrName));
    if (found === undefined) throw new PxError('not_found', `no node ${idOrName}`);
    return found;
  }

  private api(): PxNode {
    const served: Partial<PxNode> = {
      ListNodes: async () => ({ nodes: [...this.nodes.values()] }),
      ListVolumes: async () => ({ volumes: this.volumes, next_token: '' }),
      CheckNodeStop: async ({ node_id: id = '' }) => this.checkStop(this.named(id).name),
      FenceNode: async ({ node_id: id = '', force = false }) => {
        const { name, state } = this.named(id);
        if (state !== 'offline' && !force) throw new PxError('failed_precondition', 'it lives');
        this.calls.push(`FenceNode ${name}${force ? ' force' : ''}`);
        return {
          fenced: this.unfenced.length === 0,
          fenced_volumes: this.fenced,
          remaining: this.unfenced,
          without_replica: [],
        };
      },
      SetMaintenance: async ({ node_id: id = '', enter = false }) => {
        const { name } = this.named(id);
        this.calls.push(`SetMaintenance ${name} ${enter ? 'enter' : 'exit'}`);
        this.change(name, { maintenance: enter });
        return this.named(id);
      },
      DecommissionNode: async ({ node_id: id = '', keep_node: keep = false }) =>
        this.decommission(this.named(id), keep),
      CancelDecommission: async ({ node_id: id = '' }) => {
        const { name } = this.named(id);
        this.calls.push(`CancelDecommission ${name}`);
        this.change(name, { decommission: '' });
        return this.named(id);
      },
    };
    return served as PxNode;
  }

  private checkStop(name: string): CheckNodeStopResponse__Output {
    const reason = this.mayNotStop.get(name);
    const reasons = reason === undefined ? [] : [reason];
    return { safe: reason === undefined, reasons, volumes_at_risk: [] };
  }

  /** Each call moves one replica. */
  private decommission(node: NodeStatus__Output, keep: boolean): DecommissionNodeResponse__Output {
    this.calls.push(`DecommissionNode ${node.name}${keep ? ' keep' : ''}`);
    const pools = node.pools.map((pool) => ({
      ...pool,
      replica_count: Math.max(0, pool.replica_count - 1),
    }));
    const left = pools.reduce((count, pool) => count + pool.replica_count, 0);
    if (left > 0 || keep) {
      this.change(node.name, { pools, decommission: left > 0 ? 'moving' : 'done' });
      return { state: left > 0 ? 'moving' : 'done', replicas_left: left, reasons: [] };
    }
    this.nodes.delete(node.name);
    return { state: 'done', replicas_left: 0, reasons: [] };
  }
}

const emptyStatus = {
  cluster_id: 'fake',
  version: '1.0.0',
  state: 'operational',
  state_reason: '',
  zone: 'zone-1',
  region: 'region-1',
  rack: 'default',
  pools: [],
  drives: [],
  alerts: [],
  labels: {},
  config_hash: '',
  kvdb_member: false,
  decommission: '',
  maintenance: false,
  engine_version: '',
} as unknown as NodeStatus__Output;
