import { textIfThere } from '../../cache/if-there.js';
import { BuildError } from '../../errors.js';
import { callLibc } from './libc.js';
import { idMapObstacle } from './id-map-programs.js';
import { findProgram } from './programs.js';
import { fileWithoutRange } from './subordinate-ids.js';

/**
 * Starts an ordinary user's process again, same pid, inside a user namespace in which it is root and has a mount namespace of
 * its own; for root it does nothing. Call it before anything else: what ran so far runs again. The uid outside stays known
 * in `TSBUILD_REAL_UID`. Uids and gids come from /etc/subuid and /etc/subgid; without ranges only the user's own are there,
 * and files of other owners cannot be made.
 *
 * @param argv script and arguments, as in `process.argv.slice(1)`
 * @throws NOT_PERMITTED where a program is missing or lacks its rights
 */
export function reexecInUserNamespace(argv: readonly string[] = process.argv.slice(1)): void {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return;
  if (process.env['TSBUILD_REAL_UID'] !== undefined) {
    throw new BuildError('NOT_PERMITTED', 'the user namespace has no user 0', {
      hint: 'unset TSBUILD_REAL_UID',
    });
  }
  requireUserNamespaces();
  const unshare = requireUnshare();
  const ranges = fileWithoutRange(uid) === undefined;
  if (ranges) requireIdMapPrograms();
  const command = [
    'unshare',
    '--user',
    '--map-root-user',
    ...(ranges ? ['--map-auto'] : []),
    '--mount',
    '--',
    process.execPath,
    ...process.execArgv,
    ...argv,
  ];
  const environment = { ...process.env, TSBUILD_REAL_UID: String(uid) };
  const pairs = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  keepStandardStreams();
  callLibc('int execve(const char *path, const char **argv, const char **envp)', [
    unshare,
    [...command, null],
    [...pairs, null],
  ]);
}

/** Node marks the descriptors it starts with as close-on-exec. */
function keepStandardStreams(): void {
  const setFlags = 2;
  for (const fd of [0, 1, 2]) callLibc('int fcntl(int fd, int command, int flags)', [fd, setFlags, 0]);
}

/** Some machines switch user namespaces off, for all or for ordinary users. */
function requireUserNamespaces(): void {
  for (const setting of ['user/max_user_namespaces', 'kernel/unprivileged_userns_clone']) {
    if ((textIfThere(`/proc/sys/${setting}`) ?? '').trim() !== '0') continue;
    throw new BuildError('NOT_PERMITTED', 'this machine does not let ordinary users make user namespaces', {
      hint: `set the sysctl ${setting.replace('/', '.')}, or run tsbuild as root`,
    });
  }
}

function requireUnshare(): string {
  const path = findProgram('unshare');
  if (path !== undefined) return path;
  throw new BuildError('NOT_PERMITTED', 'building as an ordinary user needs the program "unshare"', {
    hint: 'install the package util-linux, or run tsbuild as root',
  });
}

function requireIdMapPrograms(): void {
  const obstacle = idMapObstacle();
  if (obstacle === undefined) return;
  const { problem, mend } = obstacle;
  throw new BuildError('NOT_PERMITTED', `this user's ranges of ids cannot be mapped: ${problem}`, {
    hint: `${mend}; or run tsbuild as root`,
  });
}
