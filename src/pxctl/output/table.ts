/** Columns two blanks apart, as wide as their widest cell; `-` stands for an empty cell. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  indent = '',
): string {
  const cells = [header, ...rows.map((row) => row.map((cell) => (cell === '' ? '-' : cell)))];
  const widths = header.map((_, column) =>
    Math.max(...cells.map((row) => (row[column] ?? '').length)),
  );
  return cells
    .map((row) => indent + row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    .map((line) => line.trimEnd())
    .join('\n');
}

/** `Name : value` lines with their colons below each other. */
export function formatFields(
  fields: readonly (readonly [name: string, value: string])[],
  indent = '\t',
): string {
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields
    .map(([name, value]) => `${indent}${name.padEnd(width)} : ${value === '' ? '-' : value}`)
    .join('\n');
}
