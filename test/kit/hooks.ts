import { config } from 'chai';
import { readFileSync } from 'node:fs';
import type { Context } from 'mocha';
import { takeSkipped } from './needs.js';
import { isInTmpDir, removeTmpDirs } from './tmp-dir.js';

/** What a command printed is mostly what a failure is about; chai shows 40 characters of it. */
config.truncateThreshold = 10_000;

/** Fails the run when a test leaves a mount behind; what other programs of the machine mount is theirs. */
const mountsBefore = new Set(mountPoints());

function mountPoints(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' ')[4]!);
}

/** Mocha's processes tell each other of an error what can be listed; causes cannot. */
function makeCausesListed(error: unknown): void {
  for (let each = error; each instanceof Error; each = each.cause)
    if (each.cause !== undefined) Object.defineProperty(each, 'cause', { enumerable: true });
}

export const mochaHooks = {
  afterEach(this: Context): void {
    makeCausesListed(this.currentTest?.err);
  },

  afterAll(): void {
    // With --parallel this comes at the end of each file, for what all of the process's files left.
    const left = mountPoints().filter((point) => !mountsBefore.has(point) && isInTmpDir(point));
    for (const line of takeSkipped()) console.log(`\n  skipped: ${line}`);
    if (left.length === 0) removeTmpDirs();
    else throw new Error(`mounts left behind: ${left.join(', ')}`);
  },
};
