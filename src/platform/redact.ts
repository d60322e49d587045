/** What a log line must never show, by the name of the field that holds it. */
const secretKey = /secret|password|token|passphrase|key$/i;

const hidden = '***';
const maxDepth = 8;

/**
 * A copy in which every value under a secret-looking name is hidden. Bounded in
 * depth, because a log call must not hang on a cyclic object.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (value === null || typeof value !== 'object') {
    return typeof value === 'bigint' ? value.toString() : value;
  }
  if (depth >= maxDepth) return '[deep]';
  if (value instanceof Error) return describeError(value, depth);
  if (Buffer.isBuffer(value) || ArrayBuffer.isView(value)) return '[bytes]';
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  const shown: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) {
    const empty = field === '' || field === undefined || field === null;
    shown[name] = secretKey.test(name) && !empty ? hidden : redact(field, depth + 1);
  }
  return shown;
}

function describeError(error: Error, depth: number): Record<string, unknown> {
  const described: Record<string, unknown> = { name: error.name, message: error.message };
  const extra = error as Error & { code?: unknown; fields?: unknown };
  if (extra.code !== undefined) described.code = extra.code;
  if (extra.fields !== undefined) described.fields = redact(extra.fields, depth + 1);
  if (error.cause !== undefined) described.cause = redact(error.cause, depth + 1);
  return described;
}
