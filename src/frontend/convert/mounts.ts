import { posix } from 'node:path';
import { BuildError } from '../../errors.js';
import type { Edge } from '../../graph/definition.js';
import type { ExecMount } from '../../graph/op.js';
import type { RunCommand } from '../command.js';
import { expandIn, type ConvertContext, type StageState } from './stage-state.js';

/** Gives the edge that `from` names: a stage, an image; undefined is the build context, of which `source` is mounted. */
export type MountSource = (from: string | undefined, source: string) => Promise<Edge | undefined>;

/** Adds the edge to the op's inputs and gives its index. */
export type InputAdder = (edge: Edge) => number;

export interface MountSettings {
  readonly sourceOf: MountSource;
  readonly addInput: InputAdder;
  /** Before the ids of cache mounts: builds with another one have other caches. */
  readonly cacheNamespace: string | undefined;
}

/** The `--mount`s of a RUN, in the order of their writing. @throws INVALID_VALUE */
export async function convertMounts(
  context: ConvertContext,
  state: StageState,
  command: RunCommand,
  { sourceOf, addInput, cacheNamespace }: MountSettings,
): Promise<ExecMount[]> {
  const mounts: ExecMount[] = [];
  for (const fields of command.mounts) {
    const options = new Map(
      fields.map(([key, value]) => [
        key,
        key === 'from' ? value : expandIn(context, state, value, command.location),
      ]),
    );
    const mount = await convertMount(new MountOptions(options, state), sourceOf, addInput, countSsh(mounts));
    noteOutline(context, mount, command);
    if ('target' in mount && mount.target === '/')
      throw new BuildError('INVALID_VALUE', 'invalid mount target "/"', { hint: 'mount below the root' });
    const isApart = mount.type === 'cache' && cacheNamespace !== undefined && cacheNamespace !== '';
    mounts.push(isApart ? { ...mount, id: `${cacheNamespace}/${mount.id}` } : mount);
  }
  return mounts;
}

function noteOutline({ outline }: ConvertContext, mount: ExecMount, { location }: RunCommand): void {
  if (mount.type === 'secret' || mount.type === 'ssh')
    outline.addSecret(mount.type, mount.id, mount.required, location);
  else if (mount.type === 'cache') outline.addCache(mount.id, location);
}

async function convertMount(
  options: MountOptions,
  sourceOf: MountSource,
  addInput: InputAdder,
  sshCount: number,
): Promise<ExecMount> {
  switch (options.text('type')?.toLowerCase() ?? 'bind') {
    case 'cache':
      return cacheMount(options, sourceOf, addInput);
    case 'tmpfs': {
      const size = options.text('size');
      return {
        type: 'tmpfs',
        target: options.target(),
        ...(options.readonly(false) ? { readonly: true } : {}),
        ...(size === undefined ? {} : { sizeBytes: parseSize(size) }),
      };
    }
    case 'secret':
      return secretMount(options);
    case 'ssh':
      return sshMount(options, sshCount);
    case 'bind': {
      const source = options.source();
      const edge = await sourceOf(options.text('from'), source);
      return {
        type: 'bind',
        input: edge ? addInput(edge) : -1,
        source,
        target: options.target(),
        readonly: options.readonly(true),
      };
    }
    default:
      throw new BuildError('INVALID_VALUE', `unsupported mount type "${options.text('type')}"`, {
        hint: 'the types are bind, cache, tmpfs, secret and ssh',
      });
  }
}

async function cacheMount(
  options: MountOptions,
  sourceOf: MountSource,
  addInput: InputAdder,
): Promise<ExecMount> {
  const target = options.target();
  const from = options.text('from');
  const sharing = options.text('sharing')?.toLowerCase() ?? 'shared';
  if (sharing !== 'shared' && sharing !== 'locked' && sharing !== 'private') {
    throw new BuildError('INVALID_VALUE', `unsupported sharing value "${sharing}"`, {
      hint: 'use shared, locked or private',
    });
  }
  const source = options.source();
  const edge = from === undefined || from === 'scratch' ? undefined : await sourceOf(from, source);
  return {
    type: 'cache',
    id: options.text('id') ?? target,
    target,
    readonly: options.readonly(false),
    sharing,
    ...(edge ? { input: addInput(edge), source } : {}),
    mode: options.octal('mode', 0o755),
    uid: options.number('uid'),
    gid: options.number('gid'),
  };
}

function secretMount(options: MountOptions): ExecMount {
  const written = options.text('target', 'dst', 'destination');
  const env = options.text('env');
  const id =
    options.text('id', 'source', 'src') ?? (written === undefined ? undefined : posix.basename(written));
  if (!id)
    throw new BuildError('INVALID_VALUE', 'a secret mount needs an id or a target', {
      hint: 'write --mount=type=secret,id=NAME',
    });
  const target =
    written !== undefined
      ? options.target()
      : env === undefined
        ? `/run/secrets/${posix.basename(id)}`
        : undefined;
  return {
    type: 'secret',
    id,
    ...(target === undefined ? {} : { target }),
    ...(env === undefined ? {} : { env }),
    required: options.flag('required'),
    mode: options.octal('mode', 0o400),
    uid: options.number('uid'),
    gid: options.number('gid'),
  };
}

function countSsh(mounts: readonly ExecMount[]): number {
  return mounts.filter((mount) => mount.type === 'ssh').length;
}

function sshMount(options: MountOptions, number: number): ExecMount {
  const written = options.text('target', 'dst', 'destination');
  return {
    type: 'ssh',
    id: options.text('id') ?? 'default',
    target: written === undefined ? `/run/buildkit/ssh_agent.${number}` : options.target(),
    required: options.flag('required'),
    mode: options.octal('mode', 0o600),
    uid: options.number('uid'),
    gid: options.number('gid'),
  };
}

/** Values of one mount by key, aliases resolved. */
class MountOptions {
  readonly #values: ReadonlyMap<string, string>;
  readonly #state: StageState;

  constructor(values: ReadonlyMap<string, string>, state: StageState) {
    this.#values = values;
    this.#state = state;
  }

  text(...keys: string[]): string | undefined {
    for (const key of keys) if (this.#values.has(key)) return this.#values.get(key);
    return undefined;
  }

  flag(...keys: string[]): boolean {
    const value = this.text(...keys)?.toLowerCase();
    if (value === undefined || value === 'false' || value === '0') return false;
    if (value === 'true' || value === '1') return true;
    throw new BuildError('INVALID_VALUE', `invalid value "${value}" for "${keys[0]}"`, {
      hint: 'use true or false',
    });
  }

  /** The last switch that is written wins. */
  readonly(fallback: boolean): boolean {
    let readonly = fallback;
    for (const key of this.#values.keys()) {
      if (key === 'ro' || key === 'readonly') readonly = this.flag(key);
      if (key === 'rw' || key === 'readwrite') readonly = !this.flag(key);
    }
    return readonly;
  }

  /** Relative ones start at the working directory, which is also the default. */
  target(): string {
    const target = this.text('target', 'dst', 'destination') ?? '';
    return posix.resolve(this.#state.workingDirectory, target);
  }

  source(): string {
    return posix.resolve('/', this.text('source', 'src') ?? '/');
  }

  number(key: string): number {
    const value = this.text(key) ?? '0';
    if (/^\d{1,10}$/.test(value)) return Number(value);
    throw new BuildError('INVALID_VALUE', `invalid value "${value}" for "${key}"`, { hint: 'use a number' });
  }

  octal(key: string, fallback: number): number {
    const value = this.text(key);
    if (value === undefined) return fallback;
    if (/^[0-7]{1,5}$/.test(value)) return Number.parseInt(value, 8);
    throw new BuildError('INVALID_VALUE', `invalid value "${value}" for "${key}"`, {
      hint: 'use an octal mode such as 0400',
    });
  }
}

/** `64m`, `1gb`, `4096`; powers of 1024. */
function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?$/i.exec(text);
  if (!match)
    throw new BuildError('INVALID_VALUE', `invalid size "${text}"`, { hint: 'write it as 64m or 1g' });
  return Math.round(Number(match[1]) * 1024 ** ' kmgt'.indexOf(match[2]!.toLowerCase() || ' '));
}
