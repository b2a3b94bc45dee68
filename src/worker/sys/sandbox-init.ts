import type * as NodeFs from 'node:fs';
import type * as Koffi from 'koffi';
import { koffiPath } from './libc.js';

/** What the first process of a sandbox is told. Paths are the host's, resolved inside of the root file system. */
export interface SandboxInput {
  readonly rootfs: string;
  readonly readonlyRootfs: boolean;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly hostname: string;
  readonly raiseLoopback: boolean;
  /** Path of the network namespace to be in; empty: stay. */
  readonly networkNamespace: string;
  readonly bindSys: boolean;
  readonly writableSys: boolean;
  readonly shmSizeKb: number;
  readonly devices: {
    readonly names: readonly string[];
    readonly prefix: string;
    readonly isReadonly: boolean;
  };
  readonly mounts: readonly { source: string; target: string; readonly: boolean }[];
  readonly tmpfs: readonly { target: string; exec: boolean; readonly: boolean; data: string }[];
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  /** Numbers of the capabilities to give up. */
  readonly dropped: readonly number[];
  /** The limit of open files, which node raises for itself as it starts; -1 is no limit. */
  readonly openFiles: { readonly soft: number; readonly hard: number } | undefined;
  /** `cgroup.procs` files to be written to. */
  readonly processFiles: readonly string[];
  /** Takes one line when the program cannot be started. */
  readonly errorFile: string;
  /** Takes the pid as the host sees it. */
  readonly pidFile: string;
}

/**
 * Arguments for node: a program that reads a {@link SandboxInput} from a file and becomes the process it describes, with
 * descriptor 3 as its standard error.
 */
export function sandboxInitArguments(inputFile: string): string[] {
  // Some compilers give functions their names back with a function that the text alone lacks.
  const source = `const __name = (value) => value; (${becomeProcess.toString()})(require)`;
  return ['-e', source, koffiPath(), inputFile];
}

/**
 * Runs as process 1 of fresh namespaces and never returns. It is passed on as text: it must not refer to anything
 * outside of itself.
 */
function becomeProcess(load: (name: string) => unknown): void {
  const fs = load('node:fs') as typeof NodeFs;
  const koffi = load(process.argv[1]!) as typeof Koffi;
  const input = JSON.parse(fs.readFileSync(process.argv[2]!, 'utf8')) as SandboxInput;
  const libc = koffi.load(null);
  const errors = fs.openSync(input.errorFile, 'a');

  const define = (prototype: string) => {
    const call = libc.func(prototype);
    return (...args: unknown[]) => {
      if (Number(call(...args)) === -1)
        throw new Error(`${/(\w+)\(/.exec(prototype)![1]} failed: errno ${koffi.errno()}`);
    };
  };
  const mount = define(
    'int mount(const char *source, const char *target, const char *type, ulong flags, const char *data)',
  );
  const umount = define('int umount2(const char *target, int flags)');
  const prctl = define('int prctl(int option, ulong a, ulong b, ulong c, ulong d)');
  const setgroups = define('int setgroups(ulong count, const uint32_t *groups)');
  const setresgid = define('int setresgid(uint32_t real, uint32_t effective, uint32_t saved)');
  const setresuid = define('int setresuid(uint32_t real, uint32_t effective, uint32_t saved)');
  const sethostname = define('int sethostname(const char *name, ulong length)');
  const pivotRoot = define('long syscall(long number, const char *root, const char *old)');
  const control = define('int ioctl(int fd, ulong request, void *argument)');
  const setDescriptorFlags = define('int fcntl(int fd, int command, int flags)');
  const execve = define('int execve(const char *path, const char **argv, const char **envp)');
  const dup2 = define('int dup2(int from, int to)');
  const setrlimit = define('int setrlimit(int resource, const int64_t *limits)');
  const setns = define('int setns(int fd, int type)');
  const socket = libc.func('int socket(int domain, int type, int protocol)');
  const setSignal = libc.func('void *signal(int number, void *action)');

  const flag = {
    readonly: 1,
    nosuid: 2,
    nodev: 4,
    noexec: 8,
    remount: 32,
    bind: 4096,
    recursive: 16384,
    strictAtime: 1 << 24,
  };
  const newNetwork = 0x40000000;
  const secure = flag.nosuid | flag.nodev | flag.noexec;
  const at = (path: string) => input.rootfs + path;

  const bind = (source: string, target: string, readonly: boolean) => {
    mount(source, target, null, flag.bind | flag.recursive, null);
    if (readonly) restrict(target, flag.readonly);
  };
  const restrict = (target: string, flags: number) => {
    // In a user namespace the flags of the mount below must be kept, whichever they are.
    for (const kept of [0, flag.nosuid, secure]) {
      try {
        mount(null, target, null, flag.remount | flag.bind | flags | kept, null);
        return;
      } catch (error) {
        if (kept === secure) throw error;
      }
    }
  };

  const mountSystem = () => {
    for (const path of ['/proc', '/dev', '/sys']) fs.mkdirSync(at(path), { recursive: true });
    // Processes may make device nodes; the usual devices are mounts of the host's.
    const noDevices = input.writableSys ? 0 : flag.nodev;
    mount('proc', at('/proc'), 'proc', secure, null);
    mount('tmpfs', at('/dev'), 'tmpfs', flag.nosuid | noDevices | flag.strictAtime, 'mode=755,size=65536k');
    for (const path of ['/dev/pts', '/dev/shm', '/dev/mqueue']) fs.mkdirSync(at(path));
    mount(
      'devpts',
      at('/dev/pts'),
      'devpts',
      flag.nosuid | flag.noexec,
      'newinstance,ptmxmode=0666,mode=0620',
    );
    mount('shm', at('/dev/shm'), 'tmpfs', secure, `mode=1777,size=${input.shmSizeKb}k`);
    mount('mqueue', at('/dev/mqueue'), 'mqueue', secure, null);
    for (const name of input.devices.names) {
      fs.writeFileSync(at(`/dev/${name}`), '');
      bind(input.devices.prefix + name, at(`/dev/${name}`), input.devices.isReadonly);
    }
    // A name for the terminal, which is of another devpts: programs look for it by its numbers.
    const isTerminal = libc.func('int isatty(int fd)') as (fd: number) => number;
    if (isTerminal(0) === 1) {
      fs.writeFileSync(at('/dev/console'), '');
      mount(fs.readlinkSync('/proc/self/fd/0'), at('/dev/console'), null, flag.bind, null);
    }
    const links = {
      fd: '/proc/self/fd',
      stdin: '/proc/self/fd/0',
      stdout: '/proc/self/fd/1',
      stderr: '/proc/self/fd/2',
      ptmx: 'pts/ptmx',
      core: '/proc/kcore',
    };
    for (const [name, target] of Object.entries(links)) fs.symlinkSync(target, at(`/dev/${name}`));
    if (input.bindSys) bind('/sys', at('/sys'), true);
    else mount('sysfs', at('/sys'), 'sysfs', secure | (input.writableSys ? 0 : flag.readonly), null);
  };

  const makeTarget = (source: string, target: string) => {
    if (fs.existsSync(target)) return;
    const directory = fs.statSync(source).isDirectory();
    fs.mkdirSync(directory ? target : target.slice(0, target.lastIndexOf('/')), { recursive: true });
    if (!directory) fs.writeFileSync(target, '');
  };

  const restrictSystem = () => {
    for (const path of input.readonlyPaths.map(at)) {
      if (fs.existsSync(path)) bind(path, path, true);
    }
    for (const path of input.maskedPaths.map(at)) {
      const stat = fs.lstatSync(path, { throwIfNoEntry: false });
      if (stat?.isDirectory()) mount('tmpfs', path, 'tmpfs', flag.readonly, 'size=0k');
      else if (stat) mount(at('/dev/null'), path, null, flag.bind, null);
    }
  };

  const enterRoot = () => {
    process.chdir(input.rootfs);
    const numbers: Record<string, number> = { x64: 155, ia32: 217, arm: 218, s390x: 217, ppc64: 203 };
    pivotRoot(numbers[process.arch] ?? 41, '.', '.');
    const detach = 2;
    umount('.', detach);
    process.chdir('/');
    if (input.readonlyRootfs) restrict('/', flag.nodev | flag.readonly);
  };

  const raiseLoopback = () => {
    const [inet, datagram, setFlags, upAndRunning] = [2, 2, 0x8914, 0x41];
    const request = Buffer.alloc(40);
    request.write('lo');
    request.writeUInt16LE(upAndRunning, 16);
    control(socket(inet, datagram, 0), setFlags, request);
  };

  const becomeUser = () => {
    const dropFromBoundingSet = 24;
    for (const capability of input.dropped) prctl(dropFromBoundingSet, capability, 0, 0, 0);
    process.chdir(input.cwd);
    process.umask(0o022);
    try {
      setgroups(input.groups.length, Uint32Array.from(input.groups));
    } catch (error) {
      // With a single id mapped, the kernel forbids it; the groups are the user's own then.
      if (fs.readFileSync('/proc/self/setgroups', 'utf8').trim() !== 'deny') throw error;
    }
    ownStandardStreams();
    setresgid(input.gid, input.gid, input.gid);
    setresuid(input.uid, input.uid, input.uid);
  };

  // So that the user may open /dev/stdout; not for a terminal or /dev/null, which are others' as well. A pipe that somebody else
  // made stays theirs: EPERM, or EINVAL where its ids are not mapped.
  const ownStandardStreams = () => {
    for (const fd of [1, 2]) {
      if (!fs.fstatSync(fd).isFIFO()) continue;
      try {
        fs.fchownSync(fd, input.uid, input.gid);
      } catch (error) {
        if (!['EPERM', 'EINVAL'].includes((error as NodeJS.ErrnoException).code!)) throw error;
      }
    }
  };

  const findProgram = (): string => {
    const name = input.args[0] ?? '';
    if (name.includes('/')) return name;
    const path = input.env.findLast((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? '';
    for (const directory of path.split(':').filter(Boolean)) {
      try {
        fs.accessSync(`${directory}/${name}`, fs.constants.X_OK);
        return `${directory}/${name}`;
      } catch {
        // The next directory may have it.
      }
    }
    throw new Error('executable file not found in $PATH');
  };

  const start = () => {
    const [setFlags, closeOnExec] = [2, 1];
    for (const fd of fs.readdirSync('/proc/self/fd').map(Number)) {
      try {
        setDescriptorFlags(fd, setFlags, fd > 2 ? closeOnExec : 0);
      } catch {
        // The descriptor of the listing itself is closed by now.
      }
    }
    const ignoredByNode = { brokenPipe: 13, fileSize: 25 };
    for (const signal of Object.values(ignoredByNode)) setSignal(signal, null);
    const program = findProgram();
    const openFiles = 7;
    if (input.openFiles)
      setrlimit(openFiles, BigInt64Array.of(BigInt(input.openFiles.soft), BigInt(input.openFiles.hard)));
    try {
      execve(program, [...input.args, null], [...input.env, null]);
    } catch (error) {
      const reasons: Record<number, string> = {
        2: 'no such file or directory',
        8: 'exec format error',
        13: 'permission denied',
        20: 'not a directory',
      };
      throw new Error(reasons[koffi.errno()] ?? (error as Error).message);
    }
  };

  try {
    const stepsErrors = 3;
    dup2(stepsErrors, 2);
    fs.writeFileSync(input.pidFile, fs.readlinkSync('/proc/self'));
    mount(input.rootfs, input.rootfs, null, flag.bind | flag.recursive, null);
    sethostname(input.hostname, Buffer.byteLength(input.hostname));
    if (input.raiseLoopback) raiseLoopback();
    if (input.networkNamespace !== '') setns(fs.openSync(input.networkNamespace, 'r'), newNetwork);
    mountSystem();
    for (const { target, exec, readonly, data } of input.tmpfs) {
      fs.mkdirSync(target, { recursive: true });
      const flags = flag.nosuid | flag.nodev | (exec ? 0 : flag.noexec) | (readonly ? flag.readonly : 0);
      mount('tmpfs', target, 'tmpfs', flags, data);
    }
    for (const { source, target, readonly } of input.mounts) {
      makeTarget(source, target);
      bind(source, target, false);
      restrict(target, flag.nodev | (readonly ? flag.readonly : 0));
    }
    // Only the program is to be limited, not this process's own start.
    const groups = input.processFiles.map((file) => fs.openSync(file, 'w'));
    restrictSystem();
    enterRoot();
    for (const group of groups) fs.writeSync(group, '0');
    becomeUser();
    start();
  } catch (error) {
    fs.writeSync(errors, (error as Error).message);
    process.exit(127);
  }
}
