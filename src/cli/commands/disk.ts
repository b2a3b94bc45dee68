import { createInterface } from 'node:readline/promises';
import { diskUsage, type DiskUsage, type ItemSummary, pruneStore, type PruneResult } from '../../disk.js';
import { type CommandContext, type GlobalOptions, storeOptions } from '../command-context.js';
import { formatBytes } from '../progress/format.js';
import { parseBytes } from '../size-option.js';
import { formatAge, formatTable } from '../table.js';

interface UsageFlags extends GlobalOptions {
  readonly verbose?: boolean;
  readonly format: string;
}

/** `tsbuild du` */
export async function printUsage(flags: UsageFlags, context: CommandContext): Promise<void> {
  const usage = await diskUsage(storeOptions(flags, context));
  if (flags.format === 'json') return print(JSON.stringify(usage));
  print(formatUsage(usage));
  if (!flags.verbose) return;
  const rows = usage.items.map((item) => [...cellsOf(item), keptBy(item)]);
  print(`\n${formatTable(['ID', 'TYPE', 'SIZE', 'LAST USED', 'WHAT', 'KEPT BY'], rows)}`);
}

const TYPE_NAMES: Readonly<Record<ItemSummary['type'], string>> = {
  layer: 'layers',
  directory: 'unpacked layers',
  copy: 'other forms of layers',
  image: 'unnamed images',
  record: 'records',
  mount: 'cache mounts',
  source: 'sources',
  log: 'logs',
  stat: 'stat indexes',
  repeat: 'ends of commands',
  damaged: 'damaged',
  failed: 'failed steps',
  history: 'step histories',
};

function formatUsage(usage: DiskUsage): string {
  const rows = usage.types.map(({ type, count, bytes, prunableBytes }) => [
    TYPE_NAMES[type],
    String(count),
    formatBytes(bytes),
    formatBytes(prunableBytes),
  ]);
  const prunable = formatBytes(usage.prunableBytes);
  rows.push(['other', '', formatBytes(usage.otherBytes), formatBytes(0)]);
  rows.push(['total', '', formatBytes(usage.totalBytes), prunable]);
  const parts = [formatTable(['WHAT', 'COUNT', 'SIZE', 'PRUNABLE'], rows)];
  if (usage.images.length > 0) {
    const images = usage.images.map(({ name, bytes, sharedBytes }) => [
      name,
      formatBytes(bytes),
      formatBytes(sharedBytes),
    ]);
    parts.push('', formatTable(['IMAGE', 'SIZE', 'SHARED'], images));
  }
  const all = formatBytes(usage.prunableAllBytes);
  parts.push('', `tsbuild prune frees ${prunable}, with --all ${all}; images keep their layers.`);
  return parts.join('\n');
}

function keptBy({ images, inUse, prunable }: DiskUsage['items'][number]): string {
  if (prunable) return '-';
  if (inUse) return 'a running process';
  const [first, ...others] = images;
  return others.length === 0 ? (first ?? '-') : `${first} and ${others.length} more`;
}

function cellsOf(item: ItemSummary): string[] {
  const { id, type, bytes, lastUsed, description } = item;
  const text = description.replace(/\s+/g, ' ');
  const what = text.length <= 60 ? text : `${text.slice(0, 59)}…`;
  return [id, type, formatBytes(bytes), formatAge(lastUsed), what];
}

interface PruneFlags extends GlobalOptions {
  readonly all?: boolean;
  readonly filter?: readonly string[];
  readonly keepStorage?: string;
  readonly reservedSpace?: string;
  readonly maxUsedSpace?: string;
  readonly minFreeSpace?: string;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly format: string;
}

/** `tsbuild prune`: on a terminal it asks first. */
export async function runPrune(flags: PruneFlags, context: CommandContext): Promise<void> {
  const options = {
    ...storeOptions(flags, context),
    ...limitsOf(flags),
    all: flags.all ?? false,
    filters: flags.filter ?? [],
  };
  if (process.stdin.isTTY && process.stdout.isTTY && !flags.force && !flags.dryRun) {
    const planned = await pruneStore({ ...options, dryRun: true });
    if (!(await isWanted(planned, context.signal))) return;
  }
  const result = await pruneStore({ ...options, dryRun: flags.dryRun ?? false });
  if (flags.format === 'json') return print(JSON.stringify(result));
  const rows = result.removed.map((item) => [...cellsOf(item), item.reason]);
  if (rows.length > 0) print(`${formatTable(['ID', 'TYPE', 'SIZE', 'LAST USED', 'WHAT', 'WHY'], rows)}\n`);
  print(`${flags.dryRun ? 'would free' : 'freed'} ${formatBytes(result.bytes)}`);
}

function limitsOf(flags: PruneFlags) {
  const reserved = flags.reservedSpace ?? flags.keepStorage;
  const { maxUsedSpace, minFreeSpace } = flags;
  return {
    ...(reserved === undefined ? {} : { reservedBytes: parseBytes('--reserved-space', reserved) }),
    ...(maxUsedSpace === undefined ? {} : { maxUsedBytes: parseBytes('--max-used-space', maxUsedSpace) }),
    ...(minFreeSpace === undefined ? {} : { minFreeBytes: parseBytes('--min-free-space', minFreeSpace) }),
  };
}

async function isWanted({ removed, bytes }: PruneResult, signal: AbortSignal): Promise<boolean> {
  const question = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const text = `remove ${removed.length} things and free ${formatBytes(bytes)}? [y/N] `;
    return /^y(es)?$/i.test((await question.question(text, { signal })).trim());
  } finally {
    question.close();
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
