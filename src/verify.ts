import { BuildError } from './errors.js';
import type { BuiltImage, Layer } from './graph/contract.js';
import { formatPlatform } from './oci/platform.js';
import type { Store } from './store.js';
import type { LayerEntry } from './worker/snapshot/layer-index.js';

const MOST_SHOWN = 20;

/**
 * Compares two builds of the same input, layer by layer and file by file. With SOURCE_DATE_EPOCH times above it do not count,
 * since the exporters take them back.
 * @throws NOT_REPRODUCIBLE with each file that differs
 */
export async function compareBuilds(
  first: readonly BuiltImage[],
  second: readonly BuiltImage[],
  store: Store,
  sourceDateEpochSec: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const differences: string[] = [];
  const timed = (layer: Layer) =>
    sourceDateEpochSec === undefined || layer.blob
      ? Promise.resolve(layer)
      : store.layers.clampTimes(layer, sourceDateEpochSec, signal);
  for (const [i, image] of first.entries()) {
    const platform = first.length > 1 ? ` (${formatPlatform(image.platform)})` : '';
    const others = second[i]?.layers ?? [];
    const steps = (image.config.history ?? []).filter((entry) => !entry.empty_layer);
    for (const [at, layer] of image.layers.entries()) {
      const other = others[at];
      if (other === undefined) continue;
      const [a, b] = await Promise.all([timed(layer), timed(other)]);
      if (a.diffId === b.diffId) continue;
      const step = (steps[at]?.created_by ?? `layer ${at + 1}`).replace(/ # buildkit$/, '');
      for (const line of await compareLayers(a, b, store, signal))
        differences.push(`${line}   <- ${step}${platform}`);
    }
  }
  if (differences.length === 0) return;
  const shown = differences.slice(0, MOST_SHOWN);
  if (differences.length > MOST_SHOWN) shown.push(`… and ${differences.length - MOST_SHOWN} more`);
  throw new BuildError(
    'NOT_REPRODUCIBLE',
    `two builds of the same input differ in ${differences.length} ${differences.length === 1 ? 'file' : 'files'}:\n  ${shown.join('\n  ')}`,
    {
      hint:
        sourceDateEpochSec === undefined
          ? 'set SOURCE_DATE_EPOCH, so that times do not count: --build-arg SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct)'
          : 'the steps named write what differs from run to run: times, random names, the order of a listing',
    },
  );
}

async function compareLayers(
  first: Layer,
  second: Layer,
  store: Store,
  signal: AbortSignal,
): Promise<string[]> {
  const [a, b] = await store.layers.indexes([first, second], signal);
  const byPath = new Map(b!.entries.map((entry) => [entry.path, entry]));
  const lines: string[] = [];
  for (const entry of a!.entries) {
    const other = byPath.get(entry.path);
    byPath.delete(entry.path);
    const what = other ? attributesThatDiffer(entry, other) : ['only in the first build'];
    if (what.length > 0) lines.push(`/${entry.path}: ${what.join(', ')}`);
  }
  for (const path of byPath.keys()) lines.push(`/${path}: only in the second build`);
  return lines;
}

function attributesThatDiffer(a: LayerEntry, b: LayerEntry): string[] {
  const named: readonly (readonly [name: string, keys: readonly (keyof LayerEntry)[]])[] = [
    ['type', ['type']],
    ['content', ['size', 'digest']],
    ['mode', ['mode']],
    ['owner', ['uid', 'gid']],
    ['link target', ['linkName']],
    ['device', ['deviceMajor', 'deviceMinor']],
    ['mtime', ['mtimeSec']],
  ];
  const differing = named.filter(([, keys]) => keys.some((key) => a[key] !== b[key])).map(([name]) => name);
  if (JSON.stringify(a.xattrs) !== JSON.stringify(b.xattrs)) differing.push('xattrs');
  return differing;
}
