import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpDir } from './tmp-dir.js';

const ENV = {
  ...process.env,
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@example.org',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@example.org',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_SYSTEM: '/dev/null',
};

/** A repository that grows while a test runs. */
export class GitRepository {
  readonly directory = tmpDir();
  #timeSec = 1_700_000_000;

  constructor() {
    this.git('init', '--quiet', '--initial-branch=main');
  }

  git(...args: string[]): string {
    const date = `${this.#timeSec} +0000`;
    const env = { ...ENV, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date };
    return execFileSync('git', args, { cwd: this.directory, env, encoding: 'utf8' }).trim();
  }

  /** Commits files, a minute after the last commit, and gives the commit. */
  commit(files: Readonly<Record<string, string>>): string {
    this.#timeSec += 60;
    for (const [path, text] of Object.entries(files)) {
      execFileSync('mkdir', ['-p', join(this.directory, path, '..')]);
      writeFileSync(join(this.directory, path), text);
    }
    this.git('add', '-A');
    this.git('commit', '--quiet', '-m', 'change');
    return this.git('rev-parse', 'HEAD');
  }

  /** Lets a plain web server serve `.git`. */
  publish(): void {
    this.git('update-server-info');
  }
}
