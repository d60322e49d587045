import { credentials, ServerCredentials, type ChannelCredentials } from '@grpc/grpc-js';
import type { TlsMaterial } from './tls-files.js';

export interface MutualTls {
  readonly server: ServerCredentials;
  readonly client: ChannelCredentials;
}

/** Both sides show a certificate of the cluster's authority; without one there is no call. */
export function mutualTls({ cert, key, ca }: TlsMaterial): MutualTls {
  const pair = [{ cert_chain: cert, private_key: key }];
  return {
    server: ServerCredentials.createSsl(ca, pair, true),
    // Nodes are reached by address, which certificates need not name: the authority is the proof.
    client: credentials.createSsl(ca, key, cert, { checkServerIdentity: () => undefined }),
  };
}
