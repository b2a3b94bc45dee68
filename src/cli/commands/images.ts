import { imageHistory, inspectImage, listImages, removeImage, tagImage } from '../../images.js';
import { parseReference } from '../../oci/reference.js';
import { type CommandContext, type GlobalOptions, storeOptions } from '../command-context.js';
import { formatBytes } from '../progress/format.js';
import { formatAge, formatTable } from '../table.js';

interface ListFlags extends GlobalOptions {
  readonly format: string;
  readonly quiet?: boolean;
  readonly trunc?: boolean;
}

export async function printImages(flags: ListFlags, context: CommandContext): Promise<void> {
  const images = await listImages(storeOptions(flags, context));
  if (flags.quiet) return print(images.map((image) => image.imageId).join('\n'));
  if (flags.format === 'json') return print(images.map((image) => JSON.stringify(image)).join('\n'));
  const rows = images.map(({ name, imageId, created, sizeBytes }) => {
    const { domain, repository, tag } = parseReference(name);
    const shown = domain === 'docker.io' ? repository.replace(/^library\//, '') : `${domain}/${repository}`;
    return [shown, tag ?? '<none>', imageId.slice(7, 19), formatAge(created), formatBytes(sizeBytes)];
  });
  print(formatTable(['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE'], rows));
}

export async function printInspection(
  names: readonly string[],
  flags: GlobalOptions,
  context: CommandContext,
): Promise<void> {
  const images = await Promise.all(names.map((name) => inspectImage(name, storeOptions(flags, context))));
  print(JSON.stringify(images.flat(), null, 4));
}

export async function printHistory(name: string, flags: ListFlags, context: CommandContext): Promise<void> {
  const rows = await imageHistory(name, storeOptions(flags, context));
  if (flags.format === 'json') return print(rows.map((row) => JSON.stringify(row)).join('\n'));
  const cut = (text: string) => (flags.trunc === false || text.length <= 60 ? text : `${text.slice(0, 59)}…`);
  const table = rows.map((row) => [
    row.layer === undefined ? '<none>' : row.layer.slice(7, 19),
    formatAge(row.created),
    cut(row.createdBy.replace(/\s*\n\s*/g, ' ')),
    formatBytes(row.sizeBytes),
    row.comment,
  ]);
  print(formatTable(['LAYER', 'CREATED', 'CREATED BY', 'SIZE', 'COMMENT'], table));
}

export async function tag(
  source: string,
  target: string,
  flags: GlobalOptions,
  context: CommandContext,
): Promise<void> {
  await tagImage(source, target, storeOptions(flags, context));
}

export async function remove(
  names: readonly string[],
  flags: GlobalOptions,
  context: CommandContext,
): Promise<void> {
  for (const name of names) print(`untagged ${await removeImage(name, storeOptions(flags, context))}`);
}

function print(text: string): void {
  if (text !== '') process.stdout.write(`${text}\n`);
}
