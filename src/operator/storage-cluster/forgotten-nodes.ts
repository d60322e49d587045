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
  if (asked.length === 0) return { forgotten: new Set(), waiting: [] };
  try {
    const answer = await (await px.any()).ListNodes({}, { timeoutMs: callTimeoutMs });
    const known = new Set(answer.nodes.map(({ name }) => name));
    return {
      forgotten: new Set(asked.filter((name) => !known.has(name))),
      waiting: asked.filter((name) => known.has(name)),
    };
  } catch (thrown) {
    const { message } = toPxError(thrown);
    logger.warn('px cannot say whether nodes may be wiped', { nodes: asked, message });
    return { forgotten: new Set(), waiting: asked };
  }
}
