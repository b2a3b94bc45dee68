import { release } from 'node:os';
import { ISOLATION_CHECKS } from './isolation-checks.js';
import type { MachineCheck } from './machine-check.js';

/** All that `tsbuild doctor` looks at, in the order in which it is shown. */
export const MACHINE_CHECKS: readonly MachineCheck[] = [
  { name: 'kernel', check: () => kernel(release()) },
  ...ISOLATION_CHECKS,
];

const OLDEST_KERNEL = [4, 18] as const;

/** Rename over an opaque directory and whiteouts in user namespaces are as old as this. */
function kernel(version: string): ReturnType<MachineCheck['check']> {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isNewEnough = major > OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor >= OLDEST_KERNEL[1]);
  if (isNewEnough) return { status: 'ok', detail: version };
  const oldest = OLDEST_KERNEL.join('.');
  return {
    status: 'failed',
    detail: `${version} is older than ${oldest}`,
    mend: `use a machine with Linux ${oldest} or later`,
  };
}
