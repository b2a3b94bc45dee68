import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { digestHex, digestOf } from '../../oci/digest.js';
import type { LayerIndex } from './layer-index.js';

/** The index stored at `path`, or undefined where there is none or it is damaged. */
export function loadLayerIndex(path: string): LayerIndex | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  const end = text.indexOf('\n');
  const body = text.slice(end + 1);
  if (digestHex(digestOf(body)) === text.slice(0, end)) return JSON.parse(body) as LayerIndex;
  rmSync(path, { force: true });
  return undefined;
}

/** Stores the index under a temporary name and renames it. */
export function saveLayerIndex(path: string, index: LayerIndex): void {
  const body = JSON.stringify(index);
  const temporary = `${path}.${process.pid}`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(temporary, `${digestHex(digestOf(body))}\n${body}`);
  renameSync(temporary, path);
}
