import type { Definitions } from './definitions.js';
import { indentedJson } from './target.js';

/** `--list=targets`: a table, or JSON, as buildx prints it. */
export function formatTargets({ groups, targets }: Definitions, isJson: boolean): string {
  const rows = [...new Set([...groups.keys(), ...targets.keys()])].sort().map((name) => {
    const target = targets.get(name);
    if (target) return { name, ...(target.description ? { description: target.description } : {}) };
    const group = groups.get(name)!;
    const members = group.targets.toSorted().join(', ');
    return {
      name,
      description: group.description ? `${group.description} (${members})` : members,
      group: true,
    };
  });
  if (isJson) return `${indentedJson(rows, '')}\n`;
  return table([['TARGET', 'DESCRIPTION'], ...rows.map(({ name, description = '' }) => [name, description])]);
}

/** `--list=variables`. */
export function formatVariables({ variables }: Definitions, isJson: boolean): string {
  if (isJson) return `${indentedJson(variables, '')}\n`;
  return table([
    ['VARIABLE', 'TYPE', 'VALUE', 'DESCRIPTION'],
    ...variables.map(({ name, type = '', value = '<null>', description = '' }) => [
      name,
      type,
      value,
      description,
    ]),
  ]);
}

/** Columns apart by tabs of eight, as Go's tabwriter sets them. */
function table(rows: readonly (readonly string[])[]): string {
  const last = rows[0]!.length - 1;
  const widths = rows[0]!.map((_, column) => {
    const longest = Math.max(...rows.map((row) => row[column]!.length));
    return Math.ceil((longest + 1) / 8) * 8;
  });
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === last ? cell : cell + '\t'.repeat(Math.ceil((widths[column]! - cell.length) / 8)),
        )
        .join(''),
    )
    .map((line) => `${line}\n`)
    .join('');
}
