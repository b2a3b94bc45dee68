import type { Capability } from './capabilities.js';

/**
 * The system calls that Docker's default profile (moby/profiles, July 2026) lets every process make, whatever its arguments.
 * Names that a libseccomp or an architecture does not know are skipped by the runtimes.
 */
export const ALLOWED: readonly string[] = words(`
  access faccessat faccessat2 chdir fchdir getcwd
  open openat openat2 creat close close_range dup dup2 dup3 fcntl fcntl64 flock ioctl umask
  read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek _llseek readahead
  copy_file_range sendfile sendfile64 splice tee vmsplice
  fallocate ftruncate ftruncate64 truncate truncate64 fadvise64 fadvise64_64
  sync syncfs fsync fdatasync sync_file_range
  stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx cachestat
  statfs statfs64 fstatfs fstatfs64 statmount listmount
  getdents getdents64 mkdir mkdirat rmdir link linkat symlink symlinkat readlink readlinkat unlink unlinkat
  rename renameat renameat2 mknod mknodat name_to_handle_at
  chmod fchmod fchmodat fchmodat2 chown chown32 lchown lchown32 fchown fchown32 fchownat
  utime utimes futimesat utimensat utimensat_time64
  getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat
  listxattr llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat
  inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark
  landlock_create_ruleset landlock_add_rule landlock_restrict_self

  select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64
  epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2
  eventfd eventfd2 signalfd signalfd4 pipe pipe2
  io_setup io_submit io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64

  brk mmap mmap2 munmap mremap mprotect madvise mincore msync remap_file_pages memfd_create memfd_secret membarrier
  mlock mlock2 mlockall munlock munlockall mseal map_shadow_stack pkey_alloc pkey_free pkey_mprotect process_mrelease

  fork vfork execve execveat exit exit_group wait4 waitid waitpid pause prctl seccomp restart_syscall rseq uretprobe
  getpid gettid getppid getpgid getpgrp setpgid getsid setsid set_tid_address set_robust_list get_robust_list
  get_thread_area set_thread_area pidfd_open pidfd_send_signal capget capset
  ptrace process_vm_readv process_vm_writev
  kill tkill tgkill sigaltstack sigprocmask sigreturn rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
  rt_tgsigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
  futex futex_time64 futex_wait futex_waitv futex_wake futex_requeue
  getrlimit ugetrlimit setrlimit prlimit64 getrusage getpriority setpriority ioprio_get ioprio_set
  sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam sched_getscheduler
  sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_rr_get_interval_time64 sched_yield

  getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getgroups getgroups32 setgroups setgroups32
  getresuid getresuid32 getresgid getresgid32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32
  setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32

  accept accept4 bind connect listen shutdown socketcall socketpair getpeername getsockname getsockopt setsockopt
  recv recvfrom recvmsg recvmmsg recvmmsg_time64 send sendto sendmsg sendmmsg
  ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
  mq_open mq_unlink mq_notify mq_getsetattr mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64

  time times gettimeofday adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
  clock_gettime64 clock_nanosleep clock_nanosleep_time64 nanosleep alarm getitimer setitimer
  timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
  timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
  getcpu getrandom sysinfo uname riscv_hwprobe
`);

/** What a process with a capability may call beside them. */
export const ALLOWED_WITH: Readonly<Partial<Record<Capability, readonly string[]>>> = {
  CAP_BPF: ['bpf'],
  CAP_DAC_READ_SEARCH: ['open_by_handle_at'],
  CAP_PERFMON: ['perf_event_open'],
  CAP_SYSLOG: ['syslog'],
  CAP_SYS_ADMIN: words(`
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
    lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
    sethostname setns syslog umount umount2 unshare
  `),
  CAP_SYS_BOOT: ['reboot'],
  CAP_SYS_CHROOT: ['chroot'],
  CAP_SYS_MODULE: ['init_module', 'finit_module', 'delete_module'],
  CAP_SYS_NICE: ['get_mempolicy', 'mbind', 'set_mempolicy', 'set_mempolicy_home_node'],
  CAP_SYS_PACCT: ['acct'],
  CAP_SYS_PTRACE: ['kcmp', 'pidfd_getfd', 'process_madvise'],
  CAP_SYS_RAWIO: ['ioperm', 'iopl'],
  CAP_SYS_TIME: ['settimeofday', 'stime', 'clock_settime', 'clock_settime64'],
  CAP_SYS_TTY_CONFIG: ['vhangup'],
};

/**
 * By Node's name of the machine: its names for the runtimes, and calls of its own. The second name is that of the 32-bit programs
 * that it runs as well: the kernel kills those of an architecture that the filter does not name. It costs 5 ms of a step. Docker
 * also names x32, which distributions' kernels have switched off.
 */
export const ARCHITECTURES: Readonly<
  Partial<Record<NodeJS.Architecture, { names: readonly string[]; allowed: readonly string[] }>>
> = {
  x64: {
    names: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
    allowed: ['arch_prctl', 'modify_ldt'],
  },
  arm64: {
    names: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
    allowed: words('arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls'),
  },
  ppc64: { names: ['SCMP_ARCH_PPC64LE'], allowed: ['sync_file_range2', 'swapcontext'] },
  riscv64: { names: ['SCMP_ARCH_RISCV64'], allowed: ['riscv_flush_icache'] },
  s390x: {
    names: ['SCMP_ARCH_S390X', 'SCMP_ARCH_S390'],
    allowed: ['s390_pci_mmio_read', 's390_pci_mmio_write', 's390_runtime_instr'],
  },
};

/** Values of personality(2): PER_LINUX and PER_LINUX32, each also with UNAME26, and the query. */
export const PERSONALITIES: readonly number[] = [0, 8, 0x20000, 0x20008, 0xffffffff];

/** Numbers of the socket domains that Docker leaves out: what no build needs (AF_ALG, AF_VSOCK) and what kernels dropped. */
export const DENIED_SOCKET_DOMAINS: ReadonlySet<number> = new Set([12, 19, 20, 23, 25, 34, 37, 38, 40]);

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}
