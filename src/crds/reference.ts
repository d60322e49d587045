import type { Definition } from './definitions.js';
import { runtimeOptionNames } from './runtime-options.js';
import { structuralSchema, type StructuralSchema } from './structural-schema.js';

/** `docs/reference/custom-resources.md`, from the same source as the manifests. */
export function referenceDocument(definitions: readonly Definition[]): string {
  const head = [
    '<!-- Made by `npm run crds` from src/crds. -->',
    '',
    '# Custom resources',
    '',
    'What each field means, and what the API server checks. Fields that px accepts but does not',
    'support are named in the condition `FieldsSupported` of the StorageCluster, as are fields that',
    'it does not know.',
  ];
  const options = [
    '',
    '## Runtime options',
    '',
    'Names that `spec.runtimeOptions` and `spec.nodes[].runtimeOptions` of a StorageCluster know.',
    '',
    '| Name | Meaning |',
    '| --- | --- |',
    ...Object.entries(runtimeOptionNames).map(([name, meaning]) => `| \`${name}\` | ${meaning} |`),
  ];
  return [...head, ...definitions.flatMap(section), ...options].join('\n') + '\n';
}

function section(definition: Definition): string[] {
  const { resource, shortNames, columns } = definition;
  const scope = resource.namespaced ? 'in a namespace' : 'for the whole cluster';
  const shown = columns
    .filter((column) => (column.priority ?? 0) === 0)
    .map((column) => column.name)
    .join(', ');
  return [
    '',
    `## ${resource.kind}`,
    '',
    definition.description,
    '',
    `\`${resource.apiVersion}\`, ${scope}; short name \`${shortNames.join('`, `')}\`. \`kubectl get\` shows ${shown}.`,
    ...rulesOf(definition.rules.map((rule) => rule.message)),
    ...part('spec', structuralSchema(definition.spec)),
    ...part('status', structuralSchema(definition.status)),
  ];
}

function part(name: string, schema: StructuralSchema): string[] {
  return [
    '',
    `### ${name}`,
    '',
    '| Field | Type | Default | Meaning |',
    '| --- | --- | --- | --- |',
    ...rows(schema, ''),
    ...rulesOf(messages(schema)),
  ];
}

function rulesOf(found: readonly string[]): string[] {
  if (found.length === 0) return [];
  return ['', 'Refused with these messages:', '', ...found.map((message) => `- ${message}`)];
}

function rows(schema: StructuralSchema, path: string): string[] {
  const inner = schema.items ?? schema;
  const prefix = schema.items === undefined ? path : `${path}[]`;
  return Object.entries(inner.properties ?? {}).flatMap(([name, field]) => {
    const at = prefix === '' ? name : `${prefix}.${name}`;
    const required = inner.required?.includes(name) === true ? '**Required.** ' : '';
    const cells = [
      `\`${at}\``,
      typeOf(field),
      defaultOf(field),
      `${required}${field.description ?? ''}`.trim(),
    ];
    return [`| ${cells.map(escape).join(' | ')} |`, ...rows(field, at)];
  });
}

function typeOf(schema: StructuralSchema): string {
  if (schema['x-kubernetes-int-or-string'] === true) return 'number or string';
  if (schema.enum !== undefined)
    return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (schema.type === 'array') return `list of ${plural(schema.items ?? {})}`;
  if (schema.additionalProperties !== undefined) {
    return `map of ${plural(schema.additionalProperties)}`;
  }
  if (schema.type === 'integer') return bounds(schema);
  if (schema.format !== undefined) return schema.format;
  return schema.type ?? 'any';
}

function plural(schema: StructuralSchema): string {
  const type =
    schema['x-kubernetes-int-or-string'] === true ? 'quantitie' : (schema.type ?? 'value');
  return `${type}s`;
}

function bounds({ minimum, maximum }: StructuralSchema): string {
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum}`;
  if (minimum !== undefined) return `at least ${minimum}`;
  return 'integer';
}

function defaultOf(schema: StructuralSchema): string {
  const value = schema.default;
  if (value === undefined || typeof value === 'object') return '';
  return `\`${JSON.stringify(value)}\``;
}

function messages(schema: StructuralSchema): string[] {
  const own = (schema['x-kubernetes-validations'] ?? []).map((rule) => rule.message);
  const below = [
    ...Object.values(schema.properties ?? {}),
    ...(schema.items === undefined ? [] : [schema.items]),
  ].flatMap(messages);
  return [...new Set([...own, ...below])];
}

function escape(cell: string): string {
  return cell.replaceAll('|', '\\|');
}
