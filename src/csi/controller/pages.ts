import type { ListVolumesRequest } from '../../gen/px/v1/ListVolumesRequest.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { PxError, toPxError } from '../../kernel/errors.js';
import type { NodeApi } from '../../platform/grpc-client.js';
import { pxTimeouts } from '../px-volumes.js';

/** Marks a token as one of ours, so that a stranger's is recognised without asking. */
const tokenPrefix = 'px1:';

interface Page {
  readonly volumes: Volume__Output[];
  readonly nextToken: string;
}

/**
 * One page of px-node's list. A token that is not valid is ABORTED: CSI's way to
 * tell a client to start the list again.
 */
export async function listPage(
  px: NodeApi,
  maxEntries: number,
  startingToken: string,
  filter: Omit<ListVolumesRequest, 'max_entries' | 'starting_token'>,
): Promise<Page> {
  if (maxEntries < 0) {
    throw new PxError('invalid_argument', `max_entries is ${maxEntries}; allowed: 0 or more`);
  }
  const pxToken = startingToken === '' ? '' : readToken(startingToken);
  try {
    const page = await px.ListVolumes(
      { ...filter, max_entries: maxEntries, starting_token: pxToken },
      { timeoutMs: pxTimeouts.readMs },
    );
    const nextToken = page.next_token === '' ? '' : `${tokenPrefix}${page.next_token}`;
    return { volumes: page.volumes.filter((volume) => volume.status !== 'deleting'), nextToken };
  } catch (thrown) {
    if (pxToken !== '' && toPxError(thrown).code === 'invalid_argument') throw staleToken();
    throw thrown;
  }
}

function readToken(token: string): string {
  if (!token.startsWith(tokenPrefix) || token.length === tokenPrefix.length) throw staleToken();
  return token.slice(tokenPrefix.length);
}

function staleToken(): PxError {
  return new PxError('aborted', 'starting_token is not valid; start the list again');
}
