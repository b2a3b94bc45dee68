/**
 * System calls that no build needs and that widen the kernel's attack surface: those that Docker's default profile denies to
 * a process with Docker's default capabilities. A list of denials: a list of all that is allowed costs three times as much at every start.
 */
const DENIED = [
  'acct',
  'add_key',
  'bpf',
  'clock_adjtime',
  'clock_settime',
  'create_module',
  'delete_module',
  'finit_module',
  'fsconfig',
  'fsmount',
  'fsopen',
  'fspick',
  'get_kernel_syms',
  'get_mempolicy',
  'init_module',
  'io_uring_enter',
  'io_uring_register',
  'io_uring_setup',
  'ioperm',
  'iopl',
  'kcmp',
  'kexec_file_load',
  'kexec_load',
  'keyctl',
  'lookup_dcookie',
  'mbind',
  'migrate_pages',
  'mount',
  'mount_setattr',
  'move_mount',
  'move_pages',
  'nfsservctl',
  'open_by_handle_at',
  'open_tree',
  'perf_event_open',
  'pivot_root',
  'query_module',
  'quotactl',
  'quotactl_fd',
  'reboot',
  'request_key',
  'set_mempolicy',
  'setns',
  'settimeofday',
  'stime',
  'swapoff',
  'swapon',
  '_sysctl',
  'sysfs',
  'umount',
  'umount2',
  'unshare',
  'uselib',
  'userfaultfd',
  'ustat',
  'vhangup',
  'vm86',
  'vm86old',
];

const ENOSYS = 38;
const CLONE_NEW_NAMESPACES = 0x7e020000;

/** Names that a libseccomp does not know are skipped by the runtimes. */
export function seccompProfile(): object {
  const errnoRet = 1;
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [
      { names: DENIED, action: 'SCMP_ACT_ERRNO', errnoRet },
      // libc falls back to clone, whose flags can be looked at.
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
      ...namespaceFlags().map((flag) => ({
        names: ['clone'],
        action: 'SCMP_ACT_ERRNO',
        errnoRet,
        args: [
          { index: process.arch === 's390x' ? 1 : 0, value: flag, valueTwo: flag, op: 'SCMP_CMP_MASKED_EQ' },
        ],
      })),
    ],
  };
}

/** One rule for each bit: a masked comparison cannot say "any of". */
function namespaceFlags(): number[] {
  const bits = Array.from({ length: 31 }, (_, i) => 2 ** i);
  return bits.filter((bit) => (CLONE_NEW_NAMESPACES & bit) !== 0);
}
