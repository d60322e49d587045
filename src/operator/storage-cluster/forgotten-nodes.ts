import { toPxError } from '../../kernel/errors.js';
import { nodeLabels, wipeMark } from '../names.js';
import type { OperatorContext } from '../ports.js';
import type { KubeNode } from './kubernetes-types.js';

const callTimeoutMs = 15_000;

/** What px says about the nodes that a person wants wiped. */
export interface WipeRequests {
  /** px knows them no more, and so has no replica there: what is left may go. */
  readonly forgotten: ReadonlySet<string>;
  /** px knows them, or can't be asked. */
  readonly waiting: readonly string[];
}

/**
 * A label is set in no time, also on the wrong node, and what it removes may be
 * the last copy of a volume. So the label alone removes nothing: px itself, by
 * its records in etcd, must have let go of the node first.
 */
export async function wipeRequests(
  { px, logger }: Pick<OperatorContext, 'px' | 'logger'>,
  nodes: readonly KubeNode[],
): Promise<WipeRequests> {
  const asked = nodes
    .filter(({ metadata }) => metadata.labels?.[nodeLabels.decommissioned] === wipeMark)
    .map(({ metadata: { name } }) => name);
  const forgotten = new Set<string>();
  for (const name of asked) {
    if (await isForgotten({ px, logger }, name)) forgotten.add(name);
  }
  return { forgotten, waiting: asked.filter((name) => !forgotten.has(name)) };
}

/**
 * Asked in a way that px answers from etcd at this moment or not at all: a list
 * of nodes may come from memory while etcd is away, from before this node came.
 */
async function isForgotten(
  { px, logger }: Pick<OperatorContext, 'px' | 'logger'>,
  name: string,
): Promise<boolean> {
  try {
    const request = { node_id: name, engine_stays: false };
    await (await px.any()).CheckNodeStop(request, { timeoutMs: callTimeoutMs });
    return false;
  } catch (thrown) {
    const { code, message } = toPxError(thrown);
    if (code === 'not_found') return true;
    logger.warn('px cannot say whether a node may be wiped', { node: name, message });
    return false;
  }
}
