import { PxError } from '../../kernel/errors.js';
import type { ObjectName, Resource } from '../ports.js';

/** The path of a kind: the legacy group has no name and lives below /api. */
export function collectionPath(resource: Resource, namespace?: string): string {
  const root = resource.apiVersion.includes('/') ? '/apis' : '/api';
  const scope =
    resource.namespaced && namespace !== undefined
      ? `/namespaces/${encodeURIComponent(namespace)}`
      : '';
  return `${root}/${resource.apiVersion}${scope}/${resource.plural}`;
}

export function objectPath(resource: Resource, { namespace, name }: ObjectName): string {
  if (resource.namespaced && (namespace ?? '') === '') {
    throw new PxError('internal', `${resource.kind} "${name}" needs a namespace`);
  }
  return `${collectionPath(resource, namespace)}/${encodeURIComponent(name)}`;
}

/** How a log line or an error names an object. */
export function describeObject(resource: Resource, { namespace, name }: ObjectName): string {
  return `${resource.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
}
