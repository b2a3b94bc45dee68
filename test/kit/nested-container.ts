import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type CommandResult, mustRun, PROJECT, runCommand } from './cli.js';
import { tmpDir } from './tmp-dir.js';

/** Ids of the container are those of this range outside. */
const FIRST_ID = 600_000;
const RANGE = 65_536;

/** What Docker and Podman give to a container by default; nothing that can mount. */
const DEFAULT_CAPABILITIES = [
  ...[
    'CHOWN',
    'DAC_OVERRIDE',
    'FSETID',
    'FOWNER',
    'MKNOD',
    'NET_RAW',
    'SETGID',
    'SETUID',
    'SETFCAP',
    'SETPCAP',
  ],
  ...['NET_BIND_SERVICE', 'SYS_CHROOT', 'KILL', 'AUDIT_WRITE'],
];

const LINKS = ['bin', 'sbin', 'lib', 'lib64'];
const DIRECTORIES = ['dev', 'etc', 'home', 'node', 'proc', 'project', 'run', 'sys', 'tmp', 'usr', 'var/tmp'];

export interface NestedOptions {
  readonly uid: number;
  /** Beyond those of every container, without CAP_. */
  readonly capabilities?: readonly string[];
  /** System calls that the container's filter refuses. */
  readonly refused?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A container in a user namespace, as rootless engines make them: this machine's programs, the project, and a home of its own. */
export class NestedContainer {
  readonly #directory = tmpDir();
  /** Where `/home` of the container is outside. */
  readonly home = join(this.#directory, 'home');

  constructor() {
    chmodSync(this.#directory, 0o755);
    const rootfs = join(this.#directory, 'rootfs');
    for (const name of DIRECTORIES) mkdirSync(join(rootfs, name), { recursive: true });
    for (const name of LINKS) symlinkSync(`usr/${name}`, join(rootfs, name));
    for (const name of ['home', 'node', 'none', 'project']) mkdirSync(join(this.#directory, name));
    writeFileSync(
      join(rootfs, 'etc/passwd'),
      'root:x:0:0::/home:/bin/sh\nbuilder:x:1000:1000::/home:/bin/sh\n',
    );
    writeFileSync(join(rootfs, 'etc/group'), 'root:x:0:\nbuilder:x:1000:\n');
  }

  /** Runs a shell's script in it, with `tsbuild` on PATH. */
  async run(script: string, options: NestedOptions): Promise<CommandResult> {
    const owner = FIRST_ID + options.uid;
    await mustRun('chown', ['-R', `${owner}:${owner}`, this.home]);
    writeFileSync(join(this.#directory, 'config.json'), JSON.stringify(this.#config(script, options)));
    // crun takes no hybrid control groups, and looks for sources of mounts as the container's root.
    const outside = `
      cd "$0" && mount --bind "$1" project && mount --bind "$2" node
      [ ! -e /sys/fs/cgroup/unified ] || mount --bind none /sys/fs/cgroup/unified
      exec crun --cgroup-manager=disabled run "tsbuild-nested-$$"`;
    const sources = [this.#directory, PROJECT, dirname(process.execPath)];
    return runCommand('unshare', ['--mount', 'sh', '-c', outside, ...sources]);
  }

  #config(script: string, { uid, capabilities = [], refused = [], env = {} }: NestedOptions): unknown {
    const bounding = [...DEFAULT_CAPABILITIES, ...capabilities].map((name) => `CAP_${name}`);
    const own = uid === 0 ? bounding : [];
    const path = '/project/bin:/node:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin';
    const variables = { PATH: path, HOME: '/home', TSBUILD_ROOT: '/tmp/store', NO_COLOR: '1', ...env };
    const ids = [{ containerID: 0, hostID: FIRST_ID, size: RANGE }];
    const bind = (source: string, destination = source, mode = 'ro') => ({
      ...{ type: 'bind', source, destination, options: ['rbind', mode] },
    });
    const memory = (destination: string) => ({ type: 'tmpfs', source: 'tmpfs', destination });
    return {
      ociVersion: '1.0.0',
      process: {
        args: ['/bin/sh', '-c', script],
        cwd: '/home',
        env: Object.entries(variables).map(([name, value]) => `${name}=${value}`),
        user: { uid, gid: uid },
        capabilities: { bounding, effective: own, permitted: own },
      },
      root: { path: 'rootfs' },
      mounts: [
        { type: 'proc', source: 'proc', destination: '/proc' },
        memory('/dev'),
        {
          type: 'devpts',
          source: 'devpts',
          destination: '/dev/pts',
          options: ['newinstance', 'ptmxmode=0666'],
        },
        memory('/tmp'),
        ...['/sys', '/sys/fs/cgroup', '/usr'].map((each) => bind(each)),
        ...['project', 'node'].map((name) => bind(join(this.#directory, name), `/${name}`)),
        bind(this.home, '/home', 'rw'),
      ],
      linux: {
        namespaces: ['pid', 'ipc', 'uts', 'mount', 'user'].map((type) => ({ type })),
        uidMappings: ids,
        gidMappings: ids,
        ...(refused.length > 0 && {
          seccomp: {
            defaultAction: 'SCMP_ACT_ALLOW',
            syscalls: [{ names: refused, action: 'SCMP_ACT_ERRNO', errnoRet: 1 }],
          },
        }),
      },
    };
  }
}
