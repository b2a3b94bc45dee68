import { readChecked, writeCheckedRows } from '../../cache/checked-file.js';
import type { LayerEntry, LayerIndex } from './layer-index.js';
import { AFTER_ENTRIES, BEFORE_ENTRIES, ListingText } from './listing-text.js';

/** Characters from which on it pays to find single entries in the text. */
const LARGE = 1 << 18;

/** The index stored at `path`, or undefined where there is none or it is damaged. */
export function loadLayerIndex(path: string): LayerIndex | undefined {
  const body = readChecked(path);
  if (body === undefined) return undefined;
  return (body.length < LARGE ? undefined : ListingText.of(body)) ?? (JSON.parse(body) as LayerIndex);
}

export function saveLayerIndex(path: string, { entries, impliedDirectories }: LayerIndex): void {
  const after = `${AFTER_ENTRIES}${JSON.stringify(impliedDirectories)}}`;
  writeCheckedRows(path, pathsFirst(entries), [BEFORE_ENTRIES, after]);
}

/** As {@link ListingText} finds them. */
function* pathsFirst(entries: Iterable<LayerEntry>): Generator<LayerEntry> {
  for (const entry of entries) {
    if (firstKey(entry) === 'path') yield entry;
    else {
      const { path, ...rest } = entry;
      yield { path, ...rest };
    }
  }
}

function firstKey(value: object): string | undefined {
  for (const key in value) return key;
  return undefined;
}
