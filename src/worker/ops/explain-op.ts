import { isSecretVariable } from '../../frontend/lint/instruction-rules.js';
import type { ExecMount, ExecOp, FileAction, FileOp } from '../../graph/op.js';
import { canonicalJson, digestOf } from '../../oci/digest.js';
import { formatPlatform } from '../../oci/platform.js';

/** Longer values are compared by their digest and not shown. */
const LONGEST_SHOWN = 2000;

/** A value that may be shown. */
function shown(text: string): string {
  return text.length <= LONGEST_SHOWN ? `=${text}` : digestOf(text);
}

/** RUN's own part of its key, in parts that people can tell apart. */
export function execComponents(op: ExecOp): Record<string, string> {
  const { args, cwd, user, network, security, hostname, shmSizeBytes, ulimits, mounts, env } = op;
  const isShell = args.length > 2 && /^-\w*c$/.test(args.at(-2)!);
  const components: Record<string, string> = {
    command: shown(isShell ? args.at(-1)! : args.join(' ')),
    SHELL: shown(isShell ? args.slice(0, -1).join(' ') : ''),
    WORKDIR: shown(cwd),
    USER: shown(user),
    '--network': shown(network),
    '--security': shown(security),
    platform: shown(formatPlatform(op.platform)),
  };
  if (hostname !== undefined) components['hostname'] = shown(hostname);
  if (shmSizeBytes !== undefined) components['--shm-size'] = shown(String(shmSizeBytes));
  if (ulimits !== undefined) components['--ulimit'] = shown(ulimits.join(' '));
  for (const mount of mounts)
    components[`--mount of ${placeOf(mount)}`] = shown(canonicalJson(mountKey(mount)));
  for (const entry of env) {
    const separator = entry.indexOf('=');
    const [name, value] = [entry.slice(0, separator), entry.slice(separator + 1)];
    components[`env.${name}`] = isSecretVariable(name, value) ? digestOf(entry) : shown(value);
  }
  return components;
}

/** What of RUN people take for a part of its key. */
export function execAsides({ mounts }: ExecOp): Record<string, string> {
  const asides: Record<string, string> = {};
  for (const mount of mounts) {
    if (mount.type !== 'cache') continue;
    asides[`id of the cache mount ${mount.target}`] = shown(mount.id);
    asides[`sharing of the cache mount ${mount.target}`] = shown(mount.sharing);
  }
  return asides;
}

/** What of a mount is in the key: its form; of a cache neither id nor sharing, of a bind not where it lies in its input. */
export function mountKey(mount: ExecMount): unknown {
  switch (mount.type) {
    case 'bind': {
      const { source: _source, ...form } = mount;
      return form;
    }
    case 'cache': {
      const { id: _id, sharing: _sharing, source: _source, ...form } = mount;
      return form;
    }
    default:
      return mount;
  }
}

function placeOf(mount: ExecMount): string {
  if (mount.type === 'secret') return mount.target ?? `$${mount.env}`;
  return mount.target;
}

/** The own part of the key of COPY, ADD, WORKDIR and heredoc files. */
export function fileComponents({ actions }: FileOp): Record<string, string> {
  const components: Record<string, string> = {};
  for (const action of actions)
    for (const [name, value] of Object.entries(actionComponents(action))) {
      if (value === undefined) continue;
      const earlier = components[name];
      const next = shown(String(value));
      components[name] = earlier === undefined || earlier === next ? next : `${earlier} ${next.slice(1)}`;
    }
  return components;
}

function actionComponents(action: FileAction): Record<string, string | number | undefined> {
  const owner = action.owner && [action.owner.user, action.owner.group].filter(Boolean).join(':');
  const epoch = { SOURCE_DATE_EPOCH: action.timestampSec };
  switch (action.kind) {
    case 'mkdir':
      return { WORKDIR: action.path, owner, mode: action.mode.toString(8), ...epoch };
    case 'mkfile':
      return {
        file: action.path,
        'content of the heredoc': digestOf(action.data),
        owner,
        mode: action.mode.toString(8),
        ...epoch,
      };
    case 'copy': {
      const { destination, destinationIsDirectory, mode, excludePatterns, parents, unpack } = action;
      return {
        source: action.source,
        destination: `${destination}${destinationIsDirectory && destination !== '/' ? '/' : ''}`,
        '--chown': owner,
        '--chmod': typeof mode === 'number' ? mode.toString(8) : mode,
        '--exclude': excludePatterns?.join(' '),
        '--parents': parents ? 'true' : undefined,
        unpacking: unpack ? 'true' : undefined,
        ...epoch,
      };
    }
  }
}
