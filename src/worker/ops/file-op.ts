import type { CacheMapDep, JobContext, Layer, ResolvedOp, Result } from '../../graph/contract.js';
import type { Definition, Vertex } from '../../graph/definition.js';
import { type CopyAction, type FileAction, type FileOp, isLocalSource } from '../../graph/op.js';
import { createSnapshotResult } from '../../graph/snapshot.js';
import { BuildError, throwIfAborted } from '../../errors.js';
import { type Digest, digestOfJson } from '../../oci/digest.js';
import { createdTime } from '../../oci/tar/tar-entry.js';
import { hasWildcard } from '../../graph/path-match.js';
import type { LayerStore } from '../snapshot/layer-store.js';
import { baseName } from '../snapshot/path-order.js';
import { LayeredTree } from '../source/layered-tree.js';
import { LocalContext } from '../source/local-context.js';
import type { SourceTree } from '../source/source-tree.js';
import { isArchive } from '../source/archive-file.js';
import { ArchiveSpool, planArchive } from './archive-plan.js';
import { type CopyListeners, planCopy, planMakeDirectory, planMakeFile } from './copy-plan.js';
import { listSelections, selectionDigest } from './copy-select.js';
import { fileComponents } from './explain-op.js';
import { contentOf, WorkTree } from './work-tree.js';

export interface FileOpDependencies {
  readonly layers: LayerStore;
  /** The context behind `local://name`. */
  readonly context: (name: string, ignorePatterns: readonly string[]) => LocalContext;
  /** Scratch space of this process, made on the first use. */
  readonly workDirectory: () => string;
}

/** COPY, ADD, WORKDIR and heredoc files: plans the entries from listings, then writes one layer. No mount, no process. */
export function createFileOp(vertex: Vertex, definition: Definition, deps: FileOpDependencies): ResolvedOp {
  const op = vertex.op as FileOp;
  const sources = vertex.inputs.map((edge) => definition.vertices.get(edge.vertex)!.op);
  const placeOf = (input: number) =>
    `the files of ${definition.vertices.get(vertex.inputs[input]!.vertex)!.options.name}`;
  const contextOf = (input: number): LocalContext | undefined => {
    const source = sources[input];
    if (!source || !isLocalSource(source)) return undefined;
    return deps.context(source.identifier.slice('local://'.length), source.ignorePatterns ?? []);
  };
  return {
    lane: 'disk',
    cacheMap: async () => {
      const mapped = vertex.inputs.map((_, input) =>
        inputDep(op, input, contextOf(input) ?? placeOf(input), deps),
      );
      return { digest: opDigest(op), deps: await Promise.all(mapped), components: fileComponents(op) };
    },
    exec: async (job, inputs) => {
      const base = op.base < 0 ? [] : layersOf(inputs[op.base]);
      const layer = await makeLayer(op, base, inputs, contextOf, job, deps);
      return [createSnapshotResult([...base, layer])];
    },
  };
}

function layersOf(result: Result | undefined): readonly Layer[] {
  if (result?.kind === 'snapshot') return result.layers;
  throw new BuildError('INTERNAL', 'a file operation needs a snapshot as its base');
}

/** What decides the output beside the inputs. Of a source only its last component counts, since it may name the copy. */
function opDigest(op: FileOp): Digest {
  const kind = op.isIndependent ? 'independent file' : 'file';
  return digestOfJson([kind, op.base < 0, op.actions.map(actionKey)]);
}

function actionKey(action: FileAction): unknown {
  if (action.kind !== 'copy') return action;
  const { source, input: _input, endsInDot: _end, ...rest } = action;
  return { ...rest, source: action.parents || hasWildcard(source) ? source : baseName(source) };
}

async function inputDep(
  op: FileOp,
  input: number,
  context: LocalContext | string,
  deps: FileOpDependencies,
): Promise<CacheMapDep> {
  const actions = op.actions.filter(
    (action): action is CopyAction => action.kind === 'copy' && action.input === input,
  );
  if (typeof context !== 'string') {
    const early = digestOfJson(await selectionDigests(context, actions));
    context.save();
    return { early, files: () => listSelections(context, actions) };
  }
  if (input === op.base) return {};
  return {
    contentDigest: async (result, job) =>
      digestOfJson(await selectionDigests(await treeOf(layersOf(result), deps, job, context), actions)),
    files: async (result, job) => {
      const layers = layersOf(result);
      return deps.layers.isListed(layers)
        ? listSelections(await treeOf(layers, deps, job, context), actions)
        : undefined;
    },
  };
}

/** What decides a selection: all of the action but which input it is. */
function selectionOf({ input: _input, ...selection }: CopyAction): unknown {
  return selection;
}

async function selectionDigests(tree: SourceTree, actions: readonly CopyAction[]): Promise<Digest[]> {
  const digests: Digest[] = [];
  for (const action of actions) {
    const make = () => selectionDigest(tree, action);
    digests.push(await (tree instanceof LocalContext ? tree.selection(selectionOf(action), make) : make()));
  }
  return digests;
}

async function treeOf(
  layers: readonly Layer[],
  deps: FileOpDependencies,
  job: JobContext,
  place?: string,
): Promise<LayeredTree> {
  const indexes = await deps.layers.indexes(layers, job.signal, (row) => job.transfer(row));
  return new LayeredTree(layers, indexes, deps.layers, place);
}

/** One whose files are there to be read. */
async function readableTree(
  layers: readonly Layer[],
  deps: FileOpDependencies,
  job: JobContext,
): Promise<LayeredTree> {
  const tree = await treeOf(layers, deps, job);
  await ensureContents(layers, deps, job);
  return tree;
}

function ensureContents(
  layers: readonly Layer[],
  { layers: store }: FileOpDependencies,
  job: JobContext,
): Promise<void> {
  return store.ensureContents(layers, job.signal, (row) => job.transfer(row));
}

async function makeLayer(
  op: FileOp,
  base: readonly Layer[],
  inputs: readonly Result[],
  contextOf: (input: number) => LocalContext | undefined,
  job: JobContext,
  deps: FileOpDependencies,
): Promise<Layer> {
  const isOnScratch = base.length === 0 || op.isIndependent;
  const below = isOnScratch ? undefined : await treeOf(base, deps, job);
  // Names of owners, and targets of an archive's hard links.
  if (below && op.actions.some((action) => action.owner || (action.kind === 'copy' && action.unpack)))
    await ensureContents(base, deps, job);
  const work = new WorkTree(below);
  using spool = new ArchiveSpool(deps.workDirectory);
  const note = (message: string) => job.note(`warning: ${message}`);
  for (const action of op.actions) {
    throwIfAborted(job.signal);
    if (action.kind === 'mkdir') planMakeDirectory(work, action, note);
    else if (action.kind === 'mkfile') planMakeFile(work, action, note);
    else {
      const context = contextOf(action.input);
      await context?.confirm(selectionOf(action), () => selectionDigest(context, action));
      const tree = context ?? (await readableTree(layersOf(inputs[action.input]), deps, job));
      const unpack: CopyListeners['unpack'] = async (match, directory, attributes) => {
        if (match.entry.type !== 'file') return false;
        const content = tree.content(match.resolved, match.entry);
        if (!(await isArchive(content))) return false;
        await planArchive(work, content, directory, attributes, spool);
        return true;
      };
      await planCopy(work, tree, action, { unpack, note });
    }
  }
  return await writeLayer(work, job, deps);
}

async function writeLayer(work: WorkTree, job: JobContext, deps: FileOpDependencies): Promise<Layer> {
  const writer = deps.layers.createWriter(job.signal);
  try {
    let newestSec = 0;
    for (const planned of work.takeEntries()) {
      newestSec = Math.max(newestSec, planned.entry.mtimeSec);
      const turn = writer.add(planned.entry, contentOf(planned));
      if (turn) await turn;
    }
    // A layer that no process wrote depends on its files alone, so it is as old as the newest of them.
    return writer.finish(createdTime(newestSec));
  } catch (error) {
    writer.abort();
    throw error;
  }
}
