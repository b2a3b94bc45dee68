import { DEVICE_NAMES, type DeviceNodes } from './device-nodes.js';
import { inUserNamespace } from '../sys/namespaces.js';
import { capabilitiesFor } from './capabilities.js';
import type { ProcessSpec } from './executor.js';
import { seccompProfile } from './seccomp.js';

interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export const MASKED_PATHS: readonly string[] = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];

export const READONLY_PATHS: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
];

interface OciHook {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
}

/** What others than this module read of a config.json, or add to it. */
export interface OciConfig {
  readonly hooks?: Readonly<Partial<Record<'createRuntime' | 'poststart', readonly OciHook[]>>>;
  readonly linux: { readonly seccomp?: object; readonly [other: string]: unknown };
  readonly annotations?: Readonly<Record<string, string>>;
  readonly [other: string]: unknown;
}

/** The bundle's config.json (OCI runtime spec 1.0): what Docker asks for, without cgroup limits. */
export function createOciConfig(spec: ProcessSpec, terminal: boolean, devices: DeviceNodes): OciConfig {
  const capabilities = capabilitiesFor(spec.security, spec.capabilities);
  const sandboxed = spec.security === 'sandbox';
  return {
    ociVersion: '1.0.2',
    process: {
      terminal,
      ...(terminal ? consoleSize() : {}),
      user: { uid: spec.uid, gid: spec.gid, additionalGids: spec.additionalGids, umask: 0o022 },
      args: spec.args,
      env: spec.env,
      cwd: spec.cwd,
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: false,
      ...(spec.rlimits.length === 0 ? {} : { rlimits: spec.rlimits.map(ociLimit) }),
    },
    root: { path: spec.rootfs, readonly: spec.readonlyRootfs ?? false },
    hostname: spec.hostname,
    ...(spec.processFiles?.length ? { hooks: joinGroups(spec.processFiles) } : {}),
    mounts: [...systemMounts(spec, devices), ...tmpfsMounts(spec), ...bindMounts(spec), ...rootMount(spec)],
    linux: {
      namespaces: [
        { type: 'pid' },
        { type: 'mount' },
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'cgroup' },
        ...networkNamespace(spec),
      ],
      maskedPaths: sandboxed ? MASKED_PATHS : [],
      readonlyPaths: sandboxed ? READONLY_PATHS : [],
      ...(sandboxed ? { seccomp: seccompProfile(capabilities) } : {}),
    },
  };
}

/** crun makes a terminal without a size, unless it is told one. */
function consoleSize() {
  const { columns, rows } = process.stdout;
  return columns && rows ? { consoleSize: { width: columns, height: rows } } : {};
}

/** The runtime calls the hook before the process starts, with its state as JSON; only the process itself is to be in the groups. */
function joinGroups(files: readonly string[]) {
  const script =
    'state=$(cat); pid=${state##*\\"pid\\":}; pid=${pid%%[,\\}]*}; for file; do echo $pid > "$file" || exit 1; done';
  return {
    createRuntime: [
      { path: '/bin/sh', args: ['sh', '-c', script, 'sh', ...files], env: ['PATH=/usr/bin:/bin'] },
    ],
  };
}

function networkNamespace({ network }: ProcessSpec): { type: string; path?: string }[] {
  if (network === 'host') return [];
  return [{ type: 'network', ...(network === 'none' ? {} : { path: network.namespace }) }];
}

/** No limit is the largest number of 64 bits, which JSON has only as text of its own: crun and runc take -1 for it. */
function ociLimit({ type, soft, hard }: ProcessSpec['rlimits'][number]) {
  return { type: `RLIMIT_${type.toUpperCase()}`, soft, hard };
}

/** As the runtimes make it, but for a size that was asked for: then it is BuildKit's tmpfs mount. */
function shmMount({ shmSizeBytes }: ProcessSpec, secure: readonly string[]): OciMount {
  const common = { destination: '/dev/shm', type: 'tmpfs' };
  if (shmSizeBytes === undefined)
    return { ...common, source: 'shm', options: [...secure, 'mode=1777', 'size=65536k'] };
  const options = ['nosuid', 'nodev', 'mode=1777', `size=${Math.ceil(shmSizeBytes / 1024)}k`];
  return { ...common, source: 'tmpfs', options };
}

function systemMounts(spec: ProcessSpec, devices: DeviceNodes): OciMount[] {
  const secure = ['nosuid', 'noexec', 'nodev'];
  const nodev = spec.security === 'sandbox' ? ['nodev'] : [];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: secure },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', ...nodev, 'strictatime', 'mode=755', 'size=65536k'],
    },
    ...deviceMounts(spec, devices),
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: [
        'nosuid',
        'noexec',
        'newinstance',
        'ptmxmode=0666',
        'mode=0620',
        ...(hasTtyGroup() ? ['gid=5'] : []),
      ],
    },
    shmMount(spec, secure),
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: secure },
    sysMount(spec, secure),
  ];
}

/** sysfs belongs to a network namespace; where that is the host's, a user namespace may only bind it. */
function sysMount(spec: ProcessSpec, options: readonly string[]): OciMount {
  const mode = spec.security === 'insecure' ? 'rw' : 'ro';
  if (spec.network === 'host' && inUserNamespace()) {
    return { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', 'ro', ...options] };
  }
  return { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...options, mode] };
}

function tmpfsMounts({ tmpfs = [] }: ProcessSpec): OciMount[] {
  return tmpfs.map(({ target, exec, readonly, data }) => ({
    destination: target,
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'nodev', ...(exec ? [] : ['noexec']), readonly ? 'ro' : 'rw', ...data],
  }));
}

function bindMounts(spec: ProcessSpec): OciMount[] {
  return spec.mounts.map(({ source, target, readonly }) => ({
    destination: target,
    type: 'bind',
    source,
    options: ['rbind', 'rprivate', 'nodev', readonly ? 'ro' : 'rw'],
  }));
}

/** crun gives the root's mount other flags; with this it has its own again. The name with the dot is one that crun takes. */
function rootMount({ security, readonlyRootfs }: ProcessSpec): OciMount[] {
  if (security === 'insecure') return [];
  const options = ['bind', 'remount', 'nodev', readonlyRootfs ? 'ro' : 'rw'];
  return [{ destination: '/.', type: 'bind', source: '/', options }];
}

/** Where /dev takes no device nodes, which a process may make, the usual ones are mounted. In a user namespace nobody makes any. */
function deviceMounts({ security }: ProcessSpec, { prefix, isReadonly }: DeviceNodes): OciMount[] {
  if (security === 'insecure' || inUserNamespace()) return [];
  return DEVICE_NAMES.map((name) => ({
    destination: `/dev/${name}`,
    type: 'bind',
    source: prefix + name,
    options: isReadonly ? ['bind', 'ro'] : ['bind'],
  }));
}

/** Group 5 may not be mapped in a user namespace. */
function hasTtyGroup(): boolean {
  return !inUserNamespace();
}
