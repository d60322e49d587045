import type { KubeObject } from '../ports.js';

type Fields = Readonly<Record<string, unknown>>;

/**
 * What no logic of ours reads and what is most of an object: a cache keeps it
 * for as long as the operator lives.
 */
export function slim<T extends KubeObject>(object: T): T {
  const metadata: Record<string, unknown> = { ...object.metadata };
  // Who set which field: half of an ordinary object.
  delete metadata.managedFields;
  return { ...object, ...ofKind(object as unknown as Fields), metadata };
}

function ofKind({ kind, spec, status }: Fields): Fields {
  if (kind === 'CustomResourceDefinition') {
    const { versions, ...rest } = (spec ?? {}) as { versions?: readonly Fields[] };
    // A schema has up to a megabyte, and a cluster has hundreds.
    return { spec: { ...rest, versions: versions?.map((one) => ({ ...one, schema: undefined })) } };
  }
  // Every image that the node has ever pulled.
  if (kind === 'Node') return { status: { ...(status as Fields), images: undefined } };
  return {};
}
