import { readFileSync } from 'node:fs';

/** All capabilities, at their kernel numbers. */
export const CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const;

export type Capability = (typeof CAPABILITIES)[number];

/** What Docker gives to a container. */
const DEFAULT_CAPABILITIES: readonly Capability[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SYS_CHROOT',
  'CAP_MKNOD',
  'CAP_AUDIT_WRITE',
  'CAP_SETFCAP',
];

/** Capabilities beside Docker's, and without some of them; `ALL` is all. */
export interface CapabilityChange {
  readonly add: readonly (Capability | 'ALL')[];
  readonly drop: readonly (Capability | 'ALL')[];
}

/** Those of the mode, changed, that this process has itself: no runtime can give more. */
export function capabilitiesFor(
  security: 'sandbox' | 'insecure',
  { add, drop }: CapabilityChange = { add: [], drop: [] },
): readonly Capability[] {
  const usual = security === 'insecure' ? CAPABILITIES : DEFAULT_CAPABILITIES;
  const kept = drop.includes('ALL') ? [] : usual.filter((name) => !drop.includes(name));
  const all = add.includes('ALL') ? CAPABILITIES.filter((name) => !drop.includes(name)) : [];
  const wanted = CAPABILITIES.filter(
    (name) => kept.includes(name) || add.includes(name) || all.includes(name),
  );
  const own = boundingSet();
  return wanted.filter((name) => ((own >> BigInt(CAPABILITIES.indexOf(name))) & 1n) === 1n);
}

let ownBoundingSet: bigint | undefined;

/** Nothing of this process changes it. */
function boundingSet(): bigint {
  if (ownBoundingSet !== undefined) return ownBoundingSet;
  const line = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return (ownBoundingSet = BigInt(`0x${line?.[1] ?? 'ffffffffffffffff'}`));
}
