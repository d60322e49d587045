import { setTimeout as sleep } from 'node:timers/promises';
import { PxError, toPxError } from '../../kernel/errors.js';
import type { NodeApi } from '../../platform/grpc-client.js';
import { monotonicMs } from '../../platform/monotonic.js';
import type { PxCluster, PxNode } from '../ports.js';
import type { PxAddress } from './px-addresses.js';

export interface PxConnectionsOptions {
  /** Where px runs now, the likeliest to answer first. */
  readonly addresses: () => readonly PxAddress[];
  readonly connect: (address: string) => NodeApi;
}

/** A node that answered so lately is not asked again whether it is there. */
const trustMs = 2_000;
/** One that is silent for so long gets company by the others. */
const hedgeMs = 500;
const probeTimeoutMs = 3_000;

/** Connections to the px-nodes, made when they are first used and kept while their pod is there. */
export class PxConnections implements PxCluster {
  private readonly connections = new Map<string, NodeApi>();
  private good: { readonly address: string; readonly atMs: number } | undefined;

  constructor(private readonly options: PxConnectionsOptions) {}

  async any(): Promise<PxNode> {
    const addresses = this.current();
    const { good } = this;
    const known = addresses.find(({ address }) => address === good?.address);
    if (good !== undefined && known !== undefined && monotonicMs() - good.atMs < trustMs) {
      return this.to(known.address);
    }
    const order =
      known === undefined ? addresses : [known, ...addresses.filter((a) => a !== known)];
    if (order.length === 0) {
      throw new PxError('unavailable', 'no pod of px-node runs yet');
    }
    const address = await firstToAnswer(order, (one) => this.probe(one.address));
    this.good = { address, atMs: monotonicMs() };
    return this.to(address);
  }

  async node(name: string): Promise<PxNode | undefined> {
    const found = this.current().find(({ nodeName }) => nodeName === name);
    return found === undefined ? undefined : this.to(found.address);
  }

  close(): void {
    for (const connection of this.connections.values()) connection.close();
    this.connections.clear();
  }

  /** Connections to pods that are gone go, too. */
  private current(): readonly PxAddress[] {
    const addresses = this.options.addresses();
    const wanted = new Set(addresses.map(({ address }) => address));
    for (const [address, connection] of this.connections) {
      if (wanted.has(address)) continue;
      connection.close();
      this.connections.delete(address);
    }
    return addresses;
  }

  private to(address: string): NodeApi {
    let connection = this.connections.get(address);
    if (connection === undefined) {
      connection = this.options.connect(address);
      this.connections.set(address, connection);
    }
    return connection;
  }

  /** A node without its key-value store answers, but can tell nothing of the cluster. */
  private async probe(address: string): Promise<string> {
    const status = await this.to(address).GetStatus({}, { timeoutMs: probeTimeoutMs });
    if (status.state !== 'kvdb_unavailable') return address;
    throw new PxError('kvdb_unavailable', `px-node at ${address} does not reach the kvdb`);
  }
}

/** Asks the first; the others at once when it fails, or when it takes long. */
async function firstToAnswer(
  order: readonly PxAddress[],
  ask: (address: PxAddress) => Promise<string>,
): Promise<string> {
  const [first, ...others] = order as [PxAddress, ...PxAddress[]];
  const timer = new AbortController();
  const asked = ask(first);
  const company = others.map(async (other) => {
    const late = sleep(hedgeMs, undefined, { signal: timer.signal });
    await Promise.race([asked.then(() => late), late]).catch(() => undefined);
    if (timer.signal.aborted) throw new PxError('aborted', 'answered already');
    return ask(other);
  });
  try {
    return await Promise.any([asked, ...company]);
  } catch (error) {
    const reasons = (error as AggregateError).errors.map((one) => toPxError(one).message);
    throw new PxError('unavailable', `no px-node answers: ${reasons.join('; ')}`);
  } finally {
    timer.abort();
  }
}
