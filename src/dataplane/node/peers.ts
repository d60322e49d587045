import { PxError } from '../../kernel/errors.js';
import type { NodeApi } from '../../platform/grpc-client.js';
import type { ClusterView } from '../cluster/cluster-view.js';

/** Marks a call that one px-node makes to another: it is carried out there and goes no further. */
export const forwardedHeader = 'px-forwarded';
export const forwarded = { [forwardedHeader]: '1' } as const;

/** Connections to the other nodes' APIs, made when they are needed. */
export class Peers {
  private readonly connections = new Map<string, NodeApi>();

  constructor(
    private readonly view: ClusterView,
    private readonly connect: (address: string) => NodeApi,
  ) {}

  api(nodeId: string): NodeApi {
    const node = this.view.cached().nodes.get(nodeId);
    if (node === undefined) {
      throw new PxError('unavailable', `node ${nodeId} is not known in this cluster`);
    }
    const address = node.mgmtAddress;
    let connection = this.connections.get(address);
    if (connection === undefined) {
      connection = this.connect(address);
      this.connections.set(address, connection);
    }
    return connection;
  }

  close(): void {
    for (const connection of this.connections.values()) connection.close();
    this.connections.clear();
  }
}
