import { z } from 'zod';

/** The part of OpenAPI v3 that Kubernetes calls structural. */
export interface StructuralSchema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly description?: string;
  readonly format?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: StructuralSchema;
  readonly properties?: Readonly<Record<string, StructuralSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: StructuralSchema;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-validations'?: readonly ValidationRule[];
}

/** A rule in the Common Expression Language, and what a person reads when it is broken. */
export interface ValidationRule {
  readonly rule: string;
  readonly message: string;
}

const preserve = 'x-kubernetes-preserve-unknown-fields';
const intOrString = 'x-kubernetes-int-or-string';

/** Keywords that are copied as they are; all others have no place in a structural schema. */
const copied = [
  'type',
  'description',
  'default',
  'enum',
  'pattern',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'required',
  preserve,
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-validations',
] as const;

type Json = Readonly<Record<string, unknown>>;

/** What a person may write (not what zod's defaults make of it), as a structural schema. */
export function structuralSchema(type: z.ZodType): StructuralSchema {
  return convert(z.toJSONSchema(type, { target: 'openapi-3.0', io: 'input', reused: 'inline' }));
}

function convert(json: Json): StructuralSchema {
  if (json[intOrString] === true) return convertIntOrString(json);
  const schema: Record<string, unknown> = {};
  for (const key of copied) if (json[key] !== undefined) schema[key] = json[key];
  if (json.format === 'date-time') {
    schema.format = 'date-time';
    // The API server checks the format; the pattern would say the same in 300 characters.
    delete schema.pattern;
  }
  for (const key of ['minimum', 'maximum'] as const) {
    // zod bounds every integer by what JavaScript can count.
    if (typeof json[key] === 'number' && Number.isSafeInteger(json[key])) {
      if (Math.abs(json[key]) !== Number.MAX_SAFE_INTEGER) schema[key] = json[key];
    }
  }
  if (json.type === 'integer') schema.format = 'int64';
  if (json.items !== undefined) schema.items = convert(json.items as Json);
  convertObject(json, schema);
  return schema;
}

/** Structural schemas have either fields of known names or values of one type, never both. */
function convertObject(json: Json, schema: Record<string, unknown>): void {
  const properties = Object.entries((json.properties ?? {}) as Readonly<Record<string, Json>>);
  const values = json.additionalProperties as Json | boolean | undefined;
  if (properties.length > 0) {
    schema.properties = Object.fromEntries(
      properties.map(([name, property]) => [name, convert(property)]),
    );
    if (values !== undefined) schema[preserve] = true;
  } else if (typeof values === 'object' && Object.keys(values).length > 0) {
    schema.additionalProperties = convert(values);
  } else if (json.type === 'object') {
    schema[preserve] = true;
  } else if (json.type === undefined) {
    throw new Error(`not a structural schema: ${JSON.stringify(json)}`);
  }
}

/** For an integer or a string neither a type nor a union may stand; what bounds either stays. */
function convertIntOrString(json: Json): StructuralSchema {
  const schema: Record<string, unknown> = { [intOrString]: true };
  for (const branch of [json, ...((json.anyOf ?? []) as readonly Json[])]) {
    const bounds = convert({ type: 'string', ...branch, [intOrString]: false });
    Object.assign(schema, { ...bounds, type: undefined, format: undefined });
  }
  return schema;
}

/**
 * The same with unknown fields kept in every object: the API server would
 * otherwise drop them before anybody could name them.
 */
export function keepingUnknownFields(schema: StructuralSchema): StructuralSchema {
  const items = schema.items === undefined ? {} : { items: keepingUnknownFields(schema.items) };
  const values =
    schema.additionalProperties === undefined
      ? {}
      : { additionalProperties: keepingUnknownFields(schema.additionalProperties) };
  if (schema.properties === undefined) return { ...schema, ...items, ...values };
  const properties = Object.fromEntries(
    Object.entries(schema.properties).map(([name, property]) => [
      name,
      keepingUnknownFields(property),
    ]),
  );
  return { ...schema, ...items, properties, [preserve]: true };
}

/** The paths of fields that the schema doesn't know: `stork.webhok`, `nodes[0].foo`. */
export function unknownFields(schema: StructuralSchema, value: unknown, path = ''): string[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return [];
    return value.flatMap((item, index) => unknownFields(items, item, `${path}[${index}]`));
  }
  if (typeof value !== 'object' || value === null) return [];
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
  return Object.entries(value).flatMap(([name, field]) => {
    const known = schema.properties?.[name] ?? schema.additionalProperties;
    if (known !== undefined) return unknownFields(known, field, at(name));
    return schema[preserve] === true ? [] : [at(name)];
  });
}
