import { readChecked, writeCheckedRows } from '../../cache/checked-file.js';
import type { LayerIndex } from './layer-index.js';

/** The index stored at `path`, or undefined where there is none or it is damaged. */
export function loadLayerIndex(path: string): LayerIndex | undefined {
  const body = readChecked(path);
  return body === undefined ? undefined : (JSON.parse(body) as LayerIndex);
}

export function saveLayerIndex(path: string, { entries, impliedDirectories }: LayerIndex): void {
  const after = `,"impliedDirectories":${JSON.stringify(impliedDirectories)}}`;
  writeCheckedRows(path, entries, ['{"entries":', after]);
}
