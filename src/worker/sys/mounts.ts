import { closeSync, readSync } from 'node:fs';
import { BuildError, isOpenFilesLimit } from '../../errors.js';
import { callLibc, isErrno } from './libc.js';
import { inUserNamespace } from './namespaces.js';

/** Directories of an overlay mount. All paths are absolute. */
export interface OverlayDirectories {
  /** Top first; at least one. */
  readonly lowers: readonly string[];
  /** Takes the writes; without it the mount is read-only. */
  readonly upper?: string;
  /** Empty, on the file system of `upper`, fresh for each mount. */
  readonly work?: string;
  readonly target: string;
}

/** OVL_MAX_STACK of the kernel. */
const MOST_LOWERS = 500;

const MS_RDONLY = 1;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MNT_DETACH = 2;
const AT_FDCWD = -100;
const AT_RECURSIVE = 0x8000;
const MOUNT_ATTR_RDONLY = 1n;
const MOUNT_ATTR_NODEV = 4;
const MS_NODEV = 4;

const SYS_MOVE_MOUNT = 429;
const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;
const SYS_MOUNT_SETATTR = 442;

const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const CLOEXEC = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

const MOUNT =
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)';

/**
 * Mounts an overlay without redirects, metadata-only copies and index, so that the upper directory is a plain change set, and
 * `volatile`, so that unmounting does not wait for the disk. A lone lower directory without an upper is bound read-only, which
 * the kernel's overlay refuses. Device nodes below cannot be opened: a process may make them, and would reach the host's disks.
 * @throws MOUNT_FAILED; EMFILE or ENFILE, after which `work` is not fresh any more
 */
export function mountOverlay(directories: OverlayDirectories): void {
  const { lowers, upper, target } = directories;
  if (upper === undefined && lowers.length === 1) {
    bindMount(lowers[0]!, target, true);
    return;
  }
  if (lowers.length > MOST_LOWERS) {
    throw new BuildError(
      'MOUNT_FAILED',
      `the image has ${lowers.length} layers; an overlay mount takes ${MOST_LOWERS}`,
      { hint: 'squash the base image or join RUN instructions' },
    );
  }
  try {
    mountByParts(directories);
  } catch (error) {
    if (!isErrno(error, 'ENOSYS', 'EINVAL', 'EPERM')) throw failed('overlay', target, error);
    mountByOptions(directories, error);
  }
}

/** Shows `source`, a file or directory, at `target`; mounts below `source` come along. @throws MOUNT_FAILED */
export function bindMount(source: string, target: string, readonly: boolean): void {
  try {
    callLibc(MOUNT, [source, target, null, MS_BIND | MS_REC, null], target);
    if (readonly) makeReadonly(target);
  } catch (error) {
    throw failed(`"${source}"`, target, error);
  }
}

/** @param options as mount(8) writes them, such as `mode=0755,size=64m` */
export function mountTmpfs(target: string, options = 'mode=0755'): void {
  try {
    callLibc(MOUNT, ['tmpfs', target, 'tmpfs', 0, options], target);
  } catch (error) {
    throw failed('tmpfs', target, error);
  }
}

/** Takes the mount away at once, even while it is in use. What is no mount is left alone. @throws MOUNT_FAILED */
export function unmount(target: string): void {
  try {
    callLibc('int umount2(const char *target, int flags)', [target, MNT_DETACH], target);
  } catch (error) {
    if (!isErrno(error, 'EINVAL', 'ENOENT')) {
      throw new BuildError('MOUNT_FAILED', `"${target}" cannot be unmounted: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
}

/** The new mount interface: one call for each lower directory, no limit on the length of their paths. */
function mountByParts({ lowers, upper, work, target }: OverlayDirectories): void {
  const context = callLibc('long syscall(long number, const char *type, ulong flags)', [
    SYS_FSOPEN,
    'overlay',
    CLOEXEC,
  ]);
  const set = (key: string, value?: string) =>
    fsconfig(context, value === undefined ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, key, value ?? null);
  try {
    for (const lower of lowers) set('lowerdir+', lower);
    for (const [key, value] of Object.entries(overlayOptions(upper, work))) set(key, value);
    fsconfig(context, FSCONFIG_CMD_CREATE, null, null);
    const mount = callLibc('long syscall(long number, int fd, ulong flags, ulong attributes)', [
      SYS_FSMOUNT,
      context,
      CLOEXEC,
      MOUNT_ATTR_NODEV,
    ]);
    try {
      callLibc(
        'long syscall(long number, int fd, const char *from, int dir, const char *target, ulong flags)',
        [SYS_MOVE_MOUNT, mount, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH],
      );
    } finally {
      closeSync(mount);
    }
  } catch (error) {
    (error as Error).message += kernelMessages(context);
    throw error;
  } finally {
    closeSync(context);
  }
}

/** In a user namespace the overlay keeps its marks in user.overlay.*, which forbids to name another redirect mode. */
function overlayOptions(
  upper: string | undefined,
  work: string | undefined,
): Record<string, string | undefined> {
  const userNamespace = inUserNamespace();
  return {
    ...(upper === undefined ? {} : { upperdir: upper, workdir: work, volatile: undefined }),
    redirect_dir: userNamespace ? 'nofollow' : 'off',
    metacopy: 'off',
    index: 'off',
    ...(userNamespace ? { userxattr: undefined } : {}),
  };
}

function fsconfig(context: number, command: number, key: string | null, value: string | null): void {
  callLibc('long syscall(long number, int fd, ulong command, const char *key, const char *value, int aux)', [
    SYS_FSCONFIG,
    context,
    command,
    key,
    value,
    0,
  ]);
}

/** What the kernel says about a failed mount, one message for each read. */
function kernelMessages(context: number): string {
  const messages: string[] = [];
  const buffer = Buffer.alloc(1024);
  try {
    while (messages.length < 10) {
      messages.push(buffer.toString('utf8', 0, readSync(context, buffer)).trim());
    }
  } catch {
    // ENODATA ends the messages.
  }
  return messages.length === 0 ? '' : ` (${messages.join('; ')})`;
}

/** The old interface, for kernels before 6.8: all options in one page. */
function mountByOptions(directories: OverlayDirectories, first: unknown): void {
  const { lowers, upper, work, target } = directories;
  const escape = (path: string) => path.replace(/[\\:,]/g, '\\$&');
  const parts = [`lowerdir=${lowers.map(escape).join(':')}`];
  for (const [key, value] of Object.entries(overlayOptions(upper, work))) {
    parts.push(
      value === undefined
        ? key
        : `${key}=${key.endsWith('dir') && key !== 'redirect_dir' ? escape(value) : value}`,
    );
  }
  const options = parts.join(',');
  if (Buffer.byteLength(options) >= 4096) {
    throw new BuildError(
      'MOUNT_FAILED',
      `this kernel cannot mount the ${lowers.length} layers of the image`,
      {
        cause: first,
        hint: 'use a kernel of version 6.8 or later, a shorter --root, or fewer layers',
      },
    );
  }
  try {
    callLibc(MOUNT, ['overlay', target, 'overlay', MS_NODEV, options], target);
  } catch (error) {
    throw failed('overlay', target, isErrno(first, 'ENOSYS') ? error : first);
  }
}

/** Sets only the read-only flag: in a user namespace the flags of a foreign mount must stay as they are. */
function makeReadonly(target: string): void {
  const attributes = Buffer.alloc(32);
  attributes.writeBigUInt64LE(MOUNT_ATTR_RDONLY, 0);
  try {
    callLibc(
      'long syscall(long number, int dir, const char *path, ulong flags, const void *attributes, ulong size)',
      [SYS_MOUNT_SETATTR, AT_FDCWD, target, AT_RECURSIVE, attributes, attributes.length],
    );
  } catch (error) {
    if (!isErrno(error, 'ENOSYS')) throw error;
    const remount = 0x20;
    callLibc(MOUNT, [null, target, null, MS_BIND | remount | MS_RDONLY, null], target);
  }
}

/** What is made of the kernel's error; a limit of open files is told as that, and not as one of mounts. */
function failed(what: string, target: string, error: unknown): Error {
  if (isOpenFilesLimit(error)) return error;
  return new BuildError(
    'MOUNT_FAILED',
    `${what} cannot be mounted at "${target}": ${(error as Error).message}`,
    {
      cause: error,
      hint: isErrno(error, 'EPERM') ? 'the kernel or a container around tsbuild forbids mounts' : undefined,
    },
  );
}
