import { readdirSync } from 'node:fs';
import { hostPlatform, type Platform } from '../../oci/platform.js';

/** Architectures whose programs a processor of the first kind runs by itself. */
const COMPATIBLE: Readonly<Record<string, string>> = { amd64: '386', arm64: 'arm' };

/** Names of qemu where they are not the architecture's. */
const QEMU_NAMES: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  arm64: 'aarch64',
  '386': 'i386',
  loong64: 'loongarch64',
};

/** Whether this machine runs programs of a platform, itself or through an emulator that the kernel knows. */
export function isRunnable(platform: Platform): boolean {
  const host = hostPlatform().architecture;
  const { architecture } = platform;
  if (architecture === host || COMPATIBLE[host] === architecture) return true;
  try {
    return readdirSync('/proc/sys/fs/binfmt_misc').includes(
      `qemu-${QEMU_NAMES[architecture] ?? architecture}`,
    );
  } catch {
    return false;
  }
}
