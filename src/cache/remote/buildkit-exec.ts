import { posix } from 'node:path';
import type { Definition, Vertex } from '../../graph/definition.js';
import type { BindMount, CacheMount, ExecMount, ExecOp, SecretMount, SshMount } from '../../graph/op.js';
import { type Digest, digestOf } from '../../oci/digest.js';
import { contentDigestOfDirectory } from './buildkit-content.js';
import { contextOfPart, isHeredoc, madeNode } from './buildkit-file.js';
import {
  type BuildkitNode,
  type NodeInput,
  type NodeSource,
  platformMembers,
  recordDigest,
} from './buildkit-node.js';
import { contentPaths } from './content-selectors.js';
import { compareBytes, goJson, orNothing } from './go-json.js';

const NETWORKS = { default: 0, host: 1, none: 2 } as const;
const SECRET = 1;
const SSH = 2;
const CACHE = 3;
const TMPFS = 4;
/** Where BuildKit mounts the directory of heredocs that are scripts. */
const PIPES = '/dev/pipes/';
/** Of a cache mount, in what BuildKit makes for it. */
const CACHE_DIRECTORY = '/cache';
const SHARINGS = { shared: 0, private: 1, locked: 2 } as const;
/** No input, no output. */
const NONE = -1;

interface ReadInput {
  readonly from: NodeSource;
  readonly key: string;
  readonly paths: string[];
  isContent: boolean;
}

/** RUN: the digest is of the JSON form of the protobuf message, mounts in the order of their targets. */
export function execNode(op: ExecOp, vertex: Vertex, definition: Definition): BuildkitNode {
  const reads: ReadInput[] = [];
  const read = (from: NodeSource, key: string, path: string, isContent: boolean): number => {
    let at = reads.findIndex((each) => each.key === key);
    if (at < 0) at = reads.push({ from, key, paths: [], isContent }) - 1;
    reads[at]!.paths.push(path);
    reads[at]!.isContent = isContent;
    return at;
  };
  const sourceOf = (input: number) => {
    const source = definition.vertices.get(vertex.inputs[input]!.vertex)!;
    return contextOfPart(source, definition) ?? source;
  };
  const reader: Reader = {
    vertex: (input, path) => {
      const source = sourceOf(input);
      return read({ kind: 'vertex', vertex: source }, source.digest, path, true);
    },
    directory: (mount) => read(cacheDirectory(mount), JSON.stringify(mount), CACHE_DIRECTORY, true),
    isScript: (mount) =>
      mount.type === 'bind' && isHeredoc(sourceOf(mount.input)) && mount.target.startsWith(PIPES),
  };
  const base = op.root < 0 ? undefined : definition.vertices.get(vertex.inputs[op.root]!.vertex)!;
  const root = base ? read({ kind: 'vertex', vertex: base }, base.digest, '/', false) : NONE;
  const placed = placedMounts(op).map((mount) => mountMembers(mount, reader));
  const mounts = [
    { input: orNothing(root), dest: '/' },
    ...placed,
    ...op.mounts.flatMap(secretMembers),
    ...op.mounts.flatMap(sshMembers),
  ];
  const isPlain = mounts.length === 1 && root >= 0;
  const meta = metaMembers(op, vertex);
  const members = {
    mounts: isPlain ? undefined : mounts,
    network: orNothing(NETWORKS[op.network]),
    security: op.security === 'insecure' ? 1 : undefined,
    secretenv: orNothing(op.mounts.flatMap(secretVariables)),
  };
  const current = {
    digest: execDigest({ meta: { ...meta, removeMountStubsRecursive: true }, ...members }, op),
    inputs: reads.map(execInput),
  };
  if (!isPlain) return [current];
  // Docker 20.10 (BuildKit 0.8): no such field, no selector for the root.
  const old = execDigest({ meta, ...members }, op);
  return [current, { digest: old, inputs: reads.map(({ from }) => ({ from })) }];
}

function execDigest(exec: unknown, { platform }: ExecOp): Digest {
  const digest = digestOf(goJson({ Type: 'buildkit.exec.v0', Exec: exec, ...platformMembers(platform) }));
  return recordDigest(digest, 0);
}

function execInput({ from, paths, isContent }: ReadInput): NodeInput {
  return {
    from,
    selector: digestOf(paths.join('\0')),
    ...(isContent ? { content: contentPaths(paths) } : {}),
  };
}

function metaMembers({ args, env, cwd, user, hostname, ulimits, mounts }: ExecOp, { options }: Vertex) {
  const agent = mounts.find((mount) => mount.type === 'ssh');
  const hasSocket = env.some((pair) => pair.startsWith('SSH_AUTH_SOCK='));
  const hosts = options.extraHosts ?? [];
  return {
    args,
    env: orNothing(agent && !hasSocket ? [...env, `SSH_AUTH_SOCK=${agent.target}`] : env),
    cwd: orNothing(cwd),
    user: orNothing(user),
    // Addresses are in no key.
    extraHosts: orNothing(hosts.map((host) => ({ Host: host.slice(0, host.indexOf(':')) }))),
    hostname: orNothing(hostname),
    ulimit: orNothing((ulimits ?? []).map(ulimitMembers)),
  };
}

function ulimitMembers(written: string) {
  const [name, limits = ''] = written.split('=', 2);
  const [soft, hard = soft] = limits.split(':', 2);
  return { Name: name, Soft: orNothing(Number(soft)), Hard: orNothing(Number(hard)) };
}

type PlacedMount = Exclude<ExecMount, SecretMount | SshMount>;

function placedMounts({ mounts, shmSizeBytes }: ExecOp): PlacedMount[] {
  const placed = mounts.filter(
    (mount): mount is PlacedMount => mount.type !== 'secret' && mount.type !== 'ssh',
  );
  if (shmSizeBytes !== undefined) placed.push({ type: 'tmpfs', target: '/dev/shm', sizeBytes: shmSizeBytes });
  return placed.toSorted((a, b) => compareBytes(a.target, b.target));
}

/** Adds what mounts read to the inputs, and tells their numbers. */
interface Reader {
  readonly vertex: (input: number, path: string) => number;
  readonly directory: (mount: CacheMount) => number;
  readonly isScript: (mount: PlacedMount) => boolean;
}

function mountMembers(mount: PlacedMount, reader: Reader) {
  const dest = reader.isScript(mount) ? PIPES : mount.target;
  if (mount.type === 'tmpfs')
    return {
      input: NONE,
      dest,
      output: NONE,
      readonly: orNothing(mount.readonly),
      mountType: TMPFS,
      TmpfsOpt: { size: orNothing(mount.sizeBytes) },
    };
  const input = mountInput(mount, reader);
  const placed = { input: orNothing(input), dest, output: NONE, readonly: orNothing(mount.readonly) };
  return mount.type === 'bind' ? placed : { ...placed, mountType: CACHE, cacheOpt: cacheMembers(mount) };
}

function mountInput(mount: BindMount | CacheMount, reader: Reader): number {
  if (hasInput(mount))
    return reader.vertex(mount.input, reader.isScript(mount) ? '/' : posix.join('/', mount.source));
  return mount.type === 'cache' && isSpecial(mount) ? reader.directory(mount) : NONE;
}

/** A cache mount starts as a directory of its own where its mode or owner are not the usual ones. */
function isSpecial({ mode, uid, gid }: CacheMount): boolean {
  return mode !== 0o755 || uid !== 0 || gid !== 0;
}

function cacheDirectory({ mode, uid, gid }: CacheMount): NodeSource {
  const owner = { user: String(uid), group: String(gid) };
  const node = madeNode({ kind: 'mkdir', path: CACHE_DIRECTORY, mode, owner }, false);
  return { kind: 'inner', node, content: contentDigestOfDirectory(mode, uid, gid) };
}

function hasInput(
  mount: BindMount | CacheMount,
): mount is (BindMount | CacheMount) & { input: number; source: string } {
  return mount.input !== undefined && mount.input >= 0 && mount.source !== undefined;
}

/** Id and sharing are in no key, but for the id that says the target once more. */
function cacheMembers({ id, target, sharing }: CacheMount) {
  if (SHARINGS[sharing] !== 0) return {};
  if (id === target) return { ID: `/${id}` };
  return id.slice(id.indexOf('/') + 1) === target ? { ID: id } : {};
}

function secretMembers(mount: ExecMount) {
  if (mount.type !== 'secret' || mount.target === undefined) return [];
  const { id, uid, gid, mode, required } = mount;
  const secretOpt = {
    ID: id,
    uid: orNothing(uid),
    gid: orNothing(gid),
    mode: orNothing(mode),
    optional: orNothing(!required),
  };
  return [{ input: NONE, dest: mount.target, mountType: SECRET, secretOpt }];
}

function secretVariables(mount: ExecMount) {
  if (mount.type !== 'secret' || mount.env === undefined) return [];
  return [{ ID: mount.id, name: mount.env, optional: orNothing(!mount.required) }];
}

function sshMembers(mount: ExecMount) {
  if (mount.type !== 'ssh') return [];
  const { id, uid, gid, mode, required } = mount;
  const SSHOpt = {
    ID: id === 'default' ? undefined : id,
    uid: orNothing(uid),
    gid: orNothing(gid),
    mode: orNothing(mode),
    optional: orNothing(!required),
  };
  return [{ input: NONE, dest: mount.target, mountType: SSH, SSHOpt }];
}
