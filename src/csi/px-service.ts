import { PxError } from '../kernel/errors.js';
import type { NodeApi } from '../platform/grpc-client.js';

type AnyCall = (...input: unknown[]) => Promise<unknown>;

/**
 * px-node behind an address that stands for several (a Kubernetes Service). A
 * connection stays with the px-node that it once reached, so one that lost
 * the key-value store, or is dying, would refuse call after call while its
 * siblings are well: after such an answer the next call connects anew. The
 * call itself is not repeated here: the sidecars do that.
 */
export function throughService(connect: () => NodeApi): NodeApi {
  let current = connect();
  const { address } = current;
  const through =
    (name: string): AnyCall =>
    async (...input) => {
      const used = current;
      try {
        return await callsOf(used)[name]?.(...input);
      } catch (thrown) {
        if (isNodesOwnTrouble(thrown) && current === used) {
          current = connect();
          // Calls at work on the old connection end by themselves.
          used.close();
        }
        throw thrown;
      }
    };
  const methods = Object.keys(current)
    .filter((name) => name !== 'address' && name !== 'close')
    .map((name) => [name, through(name)] as const);
  return {
    ...(Object.fromEntries(methods) as unknown as NodeApi),
    address,
    close: () => current.close(),
  };
}

function callsOf(api: NodeApi): Readonly<Record<string, AnyCall>> {
  return api as unknown as Readonly<Record<string, AnyCall>>;
}

function isNodesOwnTrouble(thrown: unknown): boolean {
  if (!(thrown instanceof PxError)) return false;
  return ['unavailable', 'kvdb_unavailable', 'deadline_exceeded', 'fenced'].includes(thrown.code);
}
