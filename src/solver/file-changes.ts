import type { FieldChange, FileChange, FilesChange } from '../explanation.js';
import type { FileFacts, FileListing } from '../graph/contract.js';

const MOST_NAMED = 5;

/** How two listings differ; undefined where they do not, in what takes part in a key. */
export function compareListings(
  place: string,
  before: FileListing,
  after: FileListing,
): FilesChange | undefined {
  const changes: FileChange[] = [];
  for (const [path, facts] of after) {
    const old = before.get(path);
    const fields = old ? changedFields(old, facts) : [];
    if (!old) changes.push({ path, change: 'added', fields });
    else if (fields.length > 0) changes.push({ path, change: 'changed', fields });
  }
  for (const path of before.keys())
    if (!after.has(path)) changes.push({ path, change: 'removed', fields: [] });
  const isDirectory = ({ path }: FileChange) => (after.get(path) ?? before.get(path))?.type === 'directory';
  const told = withoutParents(changes);
  if (told.length === 0) return undefined;
  const ordered = [
    ...told.filter((change) => !isDirectory(change)),
    ...told.filter((change) => isDirectory(change)),
  ];
  const isModeOnly = told.every(({ fields }) => fields.length === 1 && fields[0]!.field === 'mode');
  return { kind: 'files', place, files: ordered.slice(0, MOST_NAMED), total: told.length, isModeOnly };
}

/** A directory that came or went with what is in it says nothing new. */
function withoutParents(changes: readonly FileChange[]): FileChange[] {
  const parents = new Set<string>();
  for (const { path, change } of changes) {
    if (change === 'changed') continue;
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1))
      parents.add(`${change} ${path.slice(0, at)}`);
  }
  return changes.filter(({ path, change }) => !parents.has(`${change} ${path}`));
}

function changedFields(before: FileFacts, after: FileFacts): FieldChange[] {
  if (before.type !== after.type) return [{ field: 'type', before: before.type, after: after.type }];
  const fields: FieldChange[] = [];
  if (before.digest !== after.digest) fields.push({ field: 'content' });
  const compare = (field: FieldChange['field'], old: string | undefined, now: string | undefined) => {
    if (old === now) return;
    fields.push({
      field,
      ...(old === undefined ? {} : { before: old }),
      ...(now === undefined ? {} : { after: now }),
    });
  };
  // An instruction that sets one of these does not read it.
  if (before.mode !== undefined && after.mode !== undefined)
    compare('mode', octal(before.mode), octal(after.mode));
  if (before.owner !== undefined && after.owner !== undefined) compare('owner', before.owner, after.owner);
  compare('link target', before.link, after.link);
  compare('device', before.device, after.device);
  if (before.xattr !== after.xattr)
    fields.push({ field: 'xattr', names: changedAttributes(before.xattr, after.xattr) });
  return fields;
}

function changedAttributes(before: string | undefined, after: string | undefined): string[] {
  const [old, now] = [attributesOf(before), attributesOf(after)];
  return [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .filter((name) => old[name] !== now[name])
    .sort();
}

/** All of them, as JSON, or the value of the only one that COPY keeps. */
function attributesOf(facts: string | undefined): Readonly<Record<string, string>> {
  if (facts === undefined) return {};
  return facts.startsWith('{')
    ? (JSON.parse(facts) as Record<string, string>)
    : { 'security.capability': facts };
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}
