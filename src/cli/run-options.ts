import { BuildError } from '../errors.js';
import type { TmpfsMount } from '../worker/executor/executor.js';
import type { PublishedPort } from '../worker/network/published-ports.js';

const TMPFS_VALUES = /^(?:size=\d+[kmg%]?|nr_inodes=\d+[kmg]?|mode=[0-7]{3,4}|uid=\d+|gid=\d+)$/;
const TMPFS_FLAGS = new Set(['rw', 'ro', 'exec', 'noexec', 'nosuid', 'nodev']);

/** `/run:size=64m,mode=1777`, with docker run's options. @throws USAGE */
export function parseTmpfs(text: string): TmpfsMount {
  const [target = '', list = '', ...more] = text.split(':');
  const options = list === '' ? [] : list.split(',');
  const unknown = options.find((option) => !TMPFS_FLAGS.has(option) && !TMPFS_VALUES.test(option));
  if (!target.startsWith('/') || more.length > 0 || unknown !== undefined) {
    const what = unknown === undefined ? 'is not /PATH[:OPTIONS]' : `has the unknown option "${unknown}"`;
    throw new BuildError('USAGE', `--tmpfs "${text}" ${what}`, {
      hint: 'options are ro, rw, exec, noexec, size=64m, mode=1777, uid=, gid=, nr_inodes=',
    });
  }
  return {
    target,
    exec: lastOf(options, 'exec', 'noexec') === 'exec',
    readonly: lastOf(options, 'ro', 'rw') === 'ro',
    data: options.filter((option) => option.includes('=')),
  };
}

const lastOf = (options: readonly string[], ...words: string[]) =>
  options.findLast((option) => words.includes(option));

/** `80`, `8080:80`, `127.0.0.1:8080:80`, `[::1]:8080:80`, each perhaps with `/tcp`. @throws USAGE */
export function parsePublished(text: string): PublishedPort {
  const match = /^(?:(?:(\[[^\]]+\]|[^:]*):)?(\d*):)?(\d+)(?:\/(\w+))?$/.exec(text);
  const [, address = '', hostPort = '', port = '', protocol = 'tcp'] = match ?? [];
  if (match && protocol !== 'tcp') {
    throw new BuildError('USAGE', `--publish "${text}": only TCP ports can be published`, {
      hint: 'a program with --network=host is reached by UDP as well',
    });
  }
  if (!match || [hostPort || '0', port].some((number) => Number(number) > 65535) || Number(port) === 0) {
    throw new BuildError('USAGE', `--publish "${text}" is not [ADDRESS:][PORT:]PORT`, {
      hint: 'write it as 8080:80 or 127.0.0.1:8080:80, once for each port',
    });
  }
  return { address: address.replace(/^\[|\]$/g, ''), hostPort: Number(hostPort), port: Number(port) };
}
