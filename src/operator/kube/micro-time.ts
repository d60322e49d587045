/** `meta/v1` MicroTime, which Leases and Events have. */
export function microTime(atMs: number): string {
  return new Date(atMs).toISOString().replace('Z', '000Z');
}
