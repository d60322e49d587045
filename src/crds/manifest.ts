import type { Definition } from './definitions.js';
import type { KubeObject } from './kube-object.js';
import {
  keepingUnknownFields,
  structuralSchema,
  type StructuralSchema,
} from './structural-schema.js';

export interface CustomResourceDefinition extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

/** The schemas of spec and status as the API server enforces them. */
export function schemasOf(definition: Definition): {
  readonly spec: StructuralSchema;
  readonly status: StructuralSchema;
} {
  const spec = structuralSchema(definition.spec);
  return {
    spec: definition.keepUnknown ? keepingUnknownFields(spec) : spec,
    status: structuralSchema(definition.status),
  };
}

export function customResourceDefinition(definition: Definition): CustomResourceDefinition {
  const { resource, shortNames, columns } = definition;
  const [group, version] = resource.apiVersion.split('/');
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${resource.plural}.${group}`,
      labels: { 'app.kubernetes.io/name': 'px' },
    },
    spec: {
      group,
      names: {
        kind: resource.kind,
        listKind: `${resource.kind}List`,
        plural: resource.plural,
        singular: resource.kind.toLowerCase(),
        shortNames,
      },
      scope: resource.namespaced ? 'Namespaced' : 'Cluster',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          additionalPrinterColumns: columns,
          subresources: { status: {} },
          schema: { openAPIV3Schema: objectSchema(definition) },
        },
      ],
    },
  };
}

function objectSchema(definition: Definition): StructuralSchema {
  const { spec, status } = schemasOf(definition);
  const rules = definition.rules;
  return {
    type: 'object',
    description: definition.description,
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      // Defaults inside are filled in only where the object itself is there.
      spec: { ...spec, default: {} },
      status,
    },
    ...(rules.length === 0 ? {} : { 'x-kubernetes-validations': rules }),
  };
}
