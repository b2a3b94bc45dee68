import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Ends what an aborted run left: a runtime may be killed after its fork and before it has noted its child, or the child has
 * asked to die with it. What was started for a run has the run's directory among its arguments, or later among its mounts.
 */
export async function endProcessesOf(directory: string): Promise<void> {
  while (killProcessesOf(directory)) await delay(5);
}

/** Sends SIGKILL to every process of the directory's runs; false when there is none. */
export function killProcessesOf(directory: string): boolean {
  const ownMounts = readlinkSync('/proc/self/ns/mnt');
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const found = pids.filter((pid) => Number(pid) !== process.pid && belongsTo(pid, directory, ownMounts));
  for (const pid of found) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
  return found.length > 0;
}

/** A process that has ended and is not yet waited for has neither arguments nor mounts any more. */
function belongsTo(pid: string, directory: string, ownMounts: string): boolean {
  try {
    if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${directory}/`)) return true;
    if (readlinkSync(`/proc/${pid}/ns/mnt`) === ownMounts) return false;
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(`${directory}/`);
  } catch {
    return false;
  }
}
