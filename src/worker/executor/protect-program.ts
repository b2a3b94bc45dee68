import { bindMount } from '../sys/mounts.js';

const protectedPrograms = new Set<string>();

/**
 * Mounts a program read-only over itself, once, in the mount namespace of this process. A step can have the program that started it
 * run again, by `#!/proc/self/exe`, with a library of the image that keeps its file open, and write to it later
 * (CVE-2019-5736). The runtimes look for that mount, and without it make one for each container and start a second time. Over itself,
 * since a program may look for its libraries beside it.
 */
export function protectProgram(path: string): void {
  if (protectedPrograms.has(path)) return;
  bindMount(path, path, true);
  protectedPrograms.add(path);
}
