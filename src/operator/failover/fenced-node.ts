import { nodeAnnotations, outOfServiceTaint } from '../names.js';
import type { KubeObject } from '../ports.js';
import type { FenceCause } from './judge.js';

/** The taint and the annotation of a node that is out of service: read and written. Pure. */

export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
  readonly timeAdded?: string;
}

export interface KubeNode extends KubeObject {
  readonly spec?: { readonly taints?: readonly Taint[]; readonly unschedulable?: boolean };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
  };
}

/** A taint of that key with another value, or none, is a person's. */
export function taintOwner(node: KubeNode): 'none' | 'ours' | 'user' {
  const taints = (node.spec?.taints ?? []).filter(({ key }) => key === outOfServiceTaint.key);
  if (taints.length === 0) return 'none';
  return taints.every(({ value }) => value === outOfServiceTaint.value) ? 'ours' : 'user';
}

export function fenceMark(node: KubeNode): FenceCause | undefined {
  const mark = node.metadata.annotations?.[nodeAnnotations.fenced];
  if (mark === undefined) return undefined;
  // An unknown word was still written because of a fence.
  return mark === 'unreachable' || mark === 'taint' ? mark : 'dead';
}

/**
 * Marks a fenced node, and taints it when it isn't. The list of taints has no
 * merge key in a JSON merge patch, so all of it is written, under the condition
 * that the node is still the one that was read.
 */
export function fencePatch(node: KubeNode, cause: FenceCause): object {
  const tainted = taintOwner(node) !== 'none';
  return {
    metadata: {
      ...unchanged(node),
      annotations: { [nodeAnnotations.fenced]: cause },
    },
    ...(tainted
      ? {}
      : { spec: { taints: [...(node.spec?.taints ?? []), { ...outOfServiceTaint }] } }),
  };
}

/** Takes away the mark, and the taint if it is ours. */
export function releasePatch(node: KubeNode): object {
  const taints = node.spec?.taints ?? [];
  const kept = taints.filter(
    ({ key, value }) => key !== outOfServiceTaint.key || value !== outOfServiceTaint.value,
  );
  return {
    metadata: {
      ...unchanged(node),
      annotations: { [nodeAnnotations.fenced]: null },
    },
    ...(kept.length === taints.length ? {} : { spec: { taints: kept } }),
  };
}

function unchanged(node: KubeNode): { readonly resourceVersion?: string } {
  const { resourceVersion } = node.metadata;
  return resourceVersion === undefined ? {} : { resourceVersion };
}
