import { readFileSync } from 'node:fs';
import { skippedTests } from './needs.js';
import { isInTmpDir } from './tmp-dir.js';

/** Fails the run when a test leaves a mount behind; what other programs of the machine mount is theirs. */
const mountsBefore = new Set(mountPoints());

function mountPoints(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' ')[4]!);
}

export const mochaHooks = {
  afterAll(): void {
    const left = mountPoints().filter((point) => !mountsBefore.has(point) && isInTmpDir(point));
    for (const line of skippedTests()) console.log(`\n  skipped: ${line}`);
    if (left.length > 0) throw new Error(`mounts left behind: ${left.join(', ')}`);
  },
};
