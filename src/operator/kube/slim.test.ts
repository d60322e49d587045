import type { KubeObject } from '../ports.js';
import { slim } from './slim.js';

const metadata = { name: 'a', labels: { b: 'c' } };

test.each<[string, object, object]>([
  [
    'ConfigMap',
    { metadata: { ...metadata, managedFields: [{}] }, data: { k: 'v' } },
    { metadata, data: { k: 'v' } },
  ],
  [
    'CustomResourceDefinition',
    { metadata, spec: { group: 'g', versions: [{ name: 'v1', served: true, schema: { a: 1 } }] } },
    { metadata, spec: { group: 'g', versions: [{ name: 'v1', served: true }] } },
  ],
  [
    'Node',
    { metadata, spec: { taints: [] }, status: { images: [{}], conditions: [] } },
    { metadata, spec: { taints: [] }, status: { conditions: [] } },
  ],
])('of a %s the logic keeps what it reads', (kind, whole, kept) => {
  const object = { apiVersion: 'v1', kind, ...whole } as unknown as KubeObject;
  expect(slim(object)).toEqual({ apiVersion: 'v1', kind, ...kept });
});
