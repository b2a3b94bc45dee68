import { posix } from 'node:path';
import type { ContentSelector } from '../../graph/contract.js';
import type { Definition, Vertex } from '../../graph/definition.js';
import {
  type CopyAction,
  type FileAction,
  type FileOp,
  isLocalSource,
  type MakeDirectoryAction,
  type MakeFileAction,
  type Owner,
} from '../../graph/op.js';
import { hasWildcard } from '../../graph/path-match.js';
import { digestOf } from '../../oci/digest.js';
import { contentDigestOfFile } from './buildkit-content.js';
import { type BuildkitNode, type NodeInput, type NodeSource, recordDigest } from './buildkit-node.js';
import { orderSelectors } from './content-selectors.js';
import { compareBytes, goJson, orNothing } from './go-json.js';

const NONE = -1;

/** One action with the inputs that it has in BuildKit's operation. */
interface PlacedAction {
  readonly action: FileAction;
  readonly source: number;
  readonly makesParents?: boolean;
}

interface FileInput {
  readonly from: NodeSource;
  readonly key: string;
  readonly selectors: ContentSelector[];
}

/**
 * COPY, ADD, WORKDIR and the files of heredocs. The digest is of JSON that has the JSON of each action in base64, and the numbers
 * of their inputs where these are not the usual ones.
 */
export function fileNode(op: FileOp, vertex: Vertex, definition: Definition): BuildkitNode {
  if (isUnknown(op) || contextOfPart(vertex, definition) || (isHeredoc(vertex) && op.actions.length > 1))
    return [];
  const isLink = op.isIndependent === true;
  const base = op.base < 0 || isLink ? undefined : definition.vertices.get(vertex.inputs[op.base]!.vertex)!;
  const inputs: FileInput[] = [];
  const read = (from: NodeSource, key: string): number => {
    const known = inputs.findIndex((input) => input.key === key);
    return known >= 0 ? known : inputs.push({ from, key, selectors: [] }) - 1;
  };
  if (base) read({ kind: 'vertex', vertex: base }, base.digest);
  const placed = op.actions.map((action): PlacedAction => {
    if (action.kind !== 'copy') return { action, source: NONE };
    const source = definition.vertices.get(vertex.inputs[action.input]!.vertex)!;
    const heredoc = heredocFile(source, action);
    const from: NodeSource = heredoc
      ? {
          kind: 'inner',
          node: madeNode(heredoc),
          content: contentDigestOfFile(heredoc.mode, Buffer.from(heredoc.data)),
        }
      : { kind: 'vertex', vertex: source };
    const at = read(from, heredoc ? `${source.digest}${heredoc.path}` : source.digest);
    inputs[at]!.selectors.push(selectorOf(action));
    return { action, source: at };
  });
  const copied = fileOpNode(placed, inputs, base ? 0 : NONE);
  if (!isLink || op.base < 0) return copied;
  const below = definition.vertices.get(vertex.inputs[op.base]!.vertex)!;
  return mergeNode([
    { kind: 'vertex', vertex: below },
    { kind: 'inner', node: copied },
  ]);
}

function fileOpNode(
  placed: readonly PlacedAction[],
  inputs: readonly FileInput[],
  base: number,
): BuildkitNode {
  const indexes = placed.map(({ source }, i) => [
    i === 0 ? base : inputs.length + i - 1,
    source,
    i === placed.length - 1 ? 0 : NONE,
  ]);
  const actions = placed.map(({ action, makesParents }) =>
    Buffer.from(goJson(actionMembers(action, makesParents))).toString('base64'),
  );
  const digest = digestOf(
    goJson({
      Type: 'buildkit.file.v0',
      Actions: actions,
      indexes: areUsual(indexes) ? undefined : indexes,
    }),
  );
  return [
    { digest: recordDigest(digest, 0), inputs: inputs.map((input, i) => fileInput(input, i === base)) },
  ];
}

/** The input that is changed counts as a whole. */
function fileInput({ from, selectors }: FileInput, isBase: boolean): NodeInput {
  if (isBase || selectors.length === 0) return { from };
  const paths = selectors.map(({ path }) => path).toSorted(compareBytes);
  return { from, selector: digestOf(paths.reverse().join('\0')), content: orderSelectors(selectors) };
}

/** The numbers that are left out: each action changes what the one before it gave, and reads the second input. */
function areUsual(indexes: readonly (readonly number[])[]): boolean {
  const last = indexes.length - 1;
  return (
    last >= 0 &&
    indexes.every(
      ([input, source, output], i) =>
        input === (i === 0 ? 0 : indexes.length + i - 1) &&
        (source === NONE || source === 1) &&
        output === (i === last ? 0 : NONE),
    )
  );
}

/** What no BuildKit at hand could be compared with. */
function isUnknown({ actions }: FileOp): boolean {
  return actions.length === 0 || actions.some((action) => action.kind === 'copy' && action.parents);
}

function actionMembers(action: FileAction, makesParents = true) {
  if (action.kind === 'copy') return copyMembers(action);
  return action.kind === 'mkdir' ? directoryMembers(action, makesParents) : fileMembers(action);
}

function copyMembers(action: CopyAction) {
  const { source, allowWildcard, mode } = action;
  const isPlain = typeof mode !== 'string';
  return {
    src: posix.basename(source) || '/',
    dest: destinationText(action),
    owner: ownerMembers(action.owner),
    mode: isPlain ? orNothing(mode ?? NONE) : undefined,
    followSymlink: orNothing(allowWildcard),
    dirCopyContents: orNothing(allowWildcard),
    attemptUnpackDockerCompatibility: orNothing(action.unpack),
    createDestPath: true,
    allowWildcard: orNothing(allowWildcard),
    allowEmptyWildcard: orNothing(allowWildcard),
    timestamp: timestampOf(action),
    exclude_patterns: orNothing(action.excludePatterns),
    modeStr: isPlain ? undefined : mode,
  };
}

function destinationText({ destination, destinationIsDirectory, endsInDot }: CopyAction): string {
  if (!destinationIsDirectory) return destination;
  const directory = destination === '/' ? destination : `${destination}/`;
  return endsInDot ? `${directory}.` : directory;
}

function directoryMembers(action: MakeDirectoryAction, makesParents: boolean) {
  const { path, mode } = action;
  return {
    path,
    mode: orNothing(mode),
    makeParents: orNothing(makesParents),
    owner: ownerMembers(action.owner),
    timestamp: timestampOf(action),
  };
}

function fileMembers(action: MakeFileAction) {
  const { path, mode, data } = action;
  return {
    path,
    mode: orNothing(mode),
    data: orNothing(Buffer.from(data).toString('base64')),
    owner: ownerMembers(action.owner),
    timestamp: timestampOf(action),
  };
}

/** Nanoseconds, which are more than a number holds exactly; seconds are written with nine zeros. */
function timestampOf({ timestampSec }: FileAction): unknown {
  return timestampSec === undefined ? NONE : orNothing(timestampSec * 1e9);
}

function ownerMembers(owner: Owner | undefined) {
  if (!owner) return undefined;
  const { user, group } = owner;
  return { user: userMembers(user), group: group === undefined ? undefined : userMembers(group) };
}

function userMembers(name: string) {
  return { User: /^\d+$/.test(name) ? { byId: orNothing(Number(name)) } : { byName: { name } } };
}

function selectorOf({ source, allowWildcard, excludePatterns }: CopyAction): ContentSelector {
  return {
    path: source,
    followLinks: allowWildcard,
    ...(allowWildcard && hasWildcard(source) ? { wildcard: true } : {}),
    ...(excludePatterns?.length ? { exclude: excludePatterns } : {}),
  };
}

/** The file of a heredoc that the action copies; all of an instruction are one vertex here, and one each there. */
function heredocFile(vertex: Vertex, { source }: CopyAction): MakeFileAction | undefined {
  const { op } = vertex;
  if (op.kind !== 'file' || !isHeredoc(vertex)) return undefined;
  return op.actions.find(
    (action): action is MakeFileAction => action.kind === 'mkfile' && action.path === source,
  );
}

/** What one action makes on nothing. @param makesParents of a directory, which a WORKDIR does */
export function madeNode(action: FileAction, makesParents = true): BuildkitNode {
  return fileOpNode([{ action, source: NONE, makesParents }], [], NONE);
}

/** The context of which a vertex is what a bind mount shows: one of its own here, the context itself there. */
export function contextOfPart({ op, inputs }: Vertex, { vertices }: Definition): Vertex | undefined {
  if (op.kind !== 'file' || op.base >= 0 || op.actions.length !== 1) return undefined;
  const [action] = op.actions;
  const context = inputs[0] && vertices.get(inputs[0].vertex);
  const isPart =
    action?.kind === 'copy' &&
    action.source === action.destination &&
    !action.allowWildcard &&
    !action.unpack &&
    context !== undefined &&
    isLocalSource(context.op);
  return isPart ? context : undefined;
}

/** Whether it holds the files of an instruction's heredocs. */
export function isHeredoc({ op }: Vertex): boolean {
  return (
    op.kind === 'file' &&
    op.base < 0 &&
    op.actions.length > 0 &&
    op.actions.every(({ kind }) => kind === 'mkfile')
  );
}

/** `--link`: a layer that was made on nothing, put onto another one. */
function mergeNode(sources: readonly NodeSource[]): BuildkitNode {
  const inputs = sources.map((_, i) => ({ input: orNothing(i) }));
  const digest = digestOf(goJson({ Type: 'buildkit.merge.v0', Merge: { inputs } }));
  return [{ digest: recordDigest(digest, 0), inputs: sources.map((from) => ({ from })) }];
}
