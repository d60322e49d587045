import type { z } from 'zod';

/** Each problem with the field as it stands in the manifest: `spec.nodes[1].storage: must be …`. */
export function describeIssues(issues: readonly z.core.$ZodIssue[], root: string): string[] {
  return issues.map((issue) => {
    const path = issue.path.reduce<string>(
      (text, part) => (typeof part === 'number' ? `${text}[${part}]` : `${text}.${String(part)}`),
      root,
    );
    return `${path}: ${issue.message}`;
  });
}
