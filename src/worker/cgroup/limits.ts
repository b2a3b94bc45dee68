/** Limits of a process and what it starts, with the names and meanings of docker run. */
export interface ResourceLimits {
  readonly memoryBytes?: number;
  /** Memory and swap together; -1 is no limit. Default: twice the memory. */
  readonly memorySwapBytes?: number;
  /** CPUs' worth of time. */
  readonly cpus?: number;
  /** Share of the time where CPUs are scarce; 1024 is the usual. */
  readonly cpuShares?: number;
  readonly cpuQuotaUs?: number;
  readonly cpuPeriodUs?: number;
  /** `0-2,4` */
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  /** Processes and threads. */
  readonly pids?: number;
  readonly io?: readonly IoLimit[];
}

/** Limits of one block device, bytes and operations each second. */
export interface IoLimit {
  /** `major:minor` */
  readonly device: string;
  readonly rbps?: number;
  readonly wbps?: number;
  readonly riops?: number;
  readonly wiops?: number;
}

export type Controller = 'memory' | 'cpu' | 'cpuset' | 'pids' | 'io';

/** One write to a file of a control group. */
export interface LimitFile {
  readonly controller: Controller;
  readonly file: string;
  readonly value: string;
  /** The kernel may be built without it. */
  readonly optional?: boolean;
}

const DEFAULT_PERIOD_US = 100_000;

/** What is written to a group for these limits, in order. */
export function limitFiles(limits: ResourceLimits, version: 1 | 2): LimitFile[] {
  return version === 1 ? filesOfVersion1(limits) : filesOfVersion2(limits);
}

function filesOfVersion1(limits: ResourceLimits): LimitFile[] {
  const { memoryBytes, memorySwapBytes, cpuShares, cpusetCpus, cpusetMems, pids } = limits;
  const { files, put } = fileList();
  put('memory', 'memory.limit_in_bytes', memoryBytes);
  put('memory', 'memory.memsw.limit_in_bytes', swapLimit(limits), memorySwapBytes === undefined);
  const quota = quotaOf(limits);
  put('cpu', 'cpu.cfs_period_us', quota?.periodUs);
  put('cpu', 'cpu.cfs_quota_us', quota?.quotaUs);
  put('cpu', 'cpu.shares', cpuShares);
  put('cpuset', 'cpuset.cpus', cpusetCpus);
  put('cpuset', 'cpuset.mems', cpusetMems);
  put('pids', 'pids.max', pids);
  for (const { device, rbps, wbps, riops, wiops } of limits.io ?? []) {
    const throttle = (name: string, value: number | undefined) =>
      put('io', `blkio.throttle.${name}_device`, value === undefined ? undefined : `${device} ${value}`);
    throttle('read_bps', rbps);
    throttle('write_bps', wbps);
    throttle('read_iops', riops);
    throttle('write_iops', wiops);
  }
  return files;
}

function filesOfVersion2(limits: ResourceLimits): LimitFile[] {
  const { memoryBytes, memorySwapBytes, cpuShares, cpusetCpus, cpusetMems, pids } = limits;
  const { files, put } = fileList();
  put('memory', 'memory.max', memoryBytes);
  const both = swapLimit(limits);
  const swap = both === undefined ? undefined : both < 0 ? 'max' : both - (memoryBytes ?? 0);
  put('memory', 'memory.swap.max', swap, memorySwapBytes === undefined);
  const quota = quotaOf(limits);
  put('cpu', 'cpu.max', quota && `${quota.quotaUs < 0 ? 'max' : quota.quotaUs} ${quota.periodUs}`);
  put('cpu', 'cpu.weight', cpuShares === undefined ? undefined : weightOfShares(cpuShares));
  put('cpuset', 'cpuset.cpus', cpusetCpus);
  put('cpuset', 'cpuset.mems', cpusetMems);
  put('pids', 'pids.max', pids === undefined ? undefined : pids < 0 ? 'max' : pids);
  for (const { device, ...rates } of limits.io ?? []) {
    const pairs = Object.entries(rates).map(([name, value]) => `${name}=${value}`);
    put('io', 'io.max', [device, ...pairs].join(' '));
  }
  return files;
}

/** A list of files that leaves out limits that nobody set. */
function fileList() {
  const files: LimitFile[] = [];
  const put = (
    controller: Controller,
    file: string,
    value: number | string | undefined,
    optional = false,
  ) => {
    if (value !== undefined)
      files.push({ controller, file, value: String(value), ...(optional ? { optional } : {}) });
  };
  return { files, put };
}

function swapLimit({ memoryBytes, memorySwapBytes }: ResourceLimits): number | undefined {
  return memorySwapBytes ?? (memoryBytes === undefined ? undefined : memoryBytes * 2);
}

function quotaOf({ cpus, cpuQuotaUs, cpuPeriodUs }: ResourceLimits) {
  if (cpus === undefined && cpuQuotaUs === undefined && cpuPeriodUs === undefined) return undefined;
  const periodUs = cpuPeriodUs ?? DEFAULT_PERIOD_US;
  return { periodUs, quotaUs: cpus === undefined ? (cpuQuotaUs ?? -1) : Math.round(cpus * periodUs) };
}

/** The range of shares, 2 to 262144, laid over that of weights, 1 to 10000, as the runtimes do. */
function weightOfShares(shares: number): number {
  const bounded = Math.min(Math.max(shares, 2), 262_144);
  return 1 + Math.floor(((bounded - 2) * 9999) / 262_142);
}
