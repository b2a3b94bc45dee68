import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../errors.js';
import type { LockAcquirer } from '../../graph/contract.js';
import type { SourceOp } from '../../graph/op.js';
import { digestHex, digestOf } from '../../oci/digest.js';
import { type GitCall, runGit } from './git-program.js';

export interface GitSourceOptions {
  /** Bare repositories by the digest of their URL. */
  readonly directory: string;
  readonly lock: LockAcquirer;
  readonly secret: (id: string) => Buffer | undefined;
  /** Socket of the agent `default` of `--ssh`. */
  readonly sshSocket: () => string | undefined;
}

interface RemoteRef {
  /** Commit; for an annotated tag the one that it is for. */
  readonly commit: string;
  /** The tag object, where the ref is an annotated tag. */
  readonly tag?: string;
  /** Full name; undefined for a plain commit. */
  readonly ref?: string;
}

/** A commit whose objects are in the bare repository. */
export interface GitCommit extends RemoteRef {
  readonly repository: string;
}

const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** Repositories of ADD and of contexts, each fetched into one bare repository of the store. */
export class GitSource {
  readonly #options: GitSourceOptions;
  readonly #resolving = new Map<string, Promise<GitCommit>>();

  constructor(options: GitSourceOptions) {
    this.#options = options;
  }

  /** Finds the commit and fetches it. @throws GIT_FAILED, INVALID_VALUE for a commit that the checksum does not fit */
  resolve(op: SourceOp, signal: AbortSignal): Promise<GitCommit> {
    const key = JSON.stringify([op.identifier, op.attributes]);
    let resolving = this.#resolving.get(key);
    if (!resolving) {
      resolving = this.#resolve(op, signal);
      this.#resolving.set(key, resolving);
    }
    return resolving;
  }

  /** A file of the commit; undefined where it has none. `path` starts at the op's subdirectory. */
  async readFile(op: SourceOp, path: string, signal: AbortSignal): Promise<Buffer | undefined> {
    const { commit, repository } = await this.resolve(op, signal);
    const full = join('/', op.attributes?.['subdirectory'] ?? '', path).slice(1);
    try {
      return await runGit({
        args: ['--git-dir', repository, 'cat-file', 'blob', `${commit}:${full}`],
        signal,
      });
    } catch (error) {
      if (error instanceof BuildError && error.code === 'GIT_FAILED') return undefined;
      throw error;
    }
  }

  /** Time of the commit, seconds since the epoch. */
  async commitSec(op: SourceOp, signal: AbortSignal): Promise<number> {
    const { commit, repository } = await this.resolve(op, signal);
    const args = ['--git-dir', repository, 'show', '-s', '--format=%ct', commit];
    return Number((await runGit({ args, signal })).toString('utf8'));
  }

  /** Writes the commit's files into an empty directory, and gives the path of the op's subdirectory in it. */
  async checkout(op: SourceOp, directory: string, signal: AbortSignal): Promise<string> {
    const { commit, repository } = await this.resolve(op, signal);
    const { subdirectory, submodules, keepGitDirectory } = op.attributes ?? {};
    const path = join(directory, subdirectory ?? '');
    const keeps = keepGitDirectory === 'true' && path === join(directory, '');
    const remote = remoteOf(op);
    using _lock = await this.#options.lock(lockName(remote), { signal });
    const own = keeps ? join(directory, '.git') : repository;
    if (keeps) await this.#makeRepository(op, commit, repository, directory, signal);
    else
      await this.#git(remote, ['checkout', '--force', commit, '--', '.'], worktree(own, directory), signal);
    if (submodules !== 'false' && existsSync(join(directory, '.gitmodules')))
      await this.#updateSubmodules(remote, own, directory, signal);
    if (!existsSync(path))
      throw new BuildError('GIT_FAILED', `the repository has no directory "${subdirectory}"`, {
        hint: 'check what stands after the colon in #ref:directory',
      });
    return path;
  }

  /** `--keep-git-dir`: a repository of its own with that one commit, whose origin is the URL. */
  async #makeRepository(
    op: SourceOp,
    commit: string,
    repository: string,
    directory: string,
    signal: AbortSignal,
  ): Promise<void> {
    const remote = remoteOf(op);
    const git = (...args: string[]) => this.#git(remote, args, { directory }, signal);
    const format = commit.length === 64 ? ['--object-format=sha256'] : [];
    await git('init', '--quiet', ...format);
    await git('remote', 'add', 'origin', `file://${repository}`);
    const { ref: name, tag } = await this.resolve(op, signal);
    const local = `refs/tags/${name === undefined ? `tsbuild-${process.pid}` : shortRef(name)}`;
    await this.#git(remote, ['update-ref', local, tag ?? commit], { repository }, signal);
    const target = name === undefined ? local : `${local}:${tag === undefined ? shortRef(name) : local}`;
    await git('fetch', '--quiet', '--update-head-ok', '--depth=1', 'origin', target);
    if (name === undefined) await this.#git(remote, ['update-ref', '-d', local], { repository }, signal);
    await git('checkout', '--quiet', '--force', 'FETCH_HEAD');
    await git('remote', 'set-url', 'origin', withoutPassword(remote));
    await git('reflog', 'expire', '--all', '--expire=now');
    rmSync(join(directory, '.git', 'FETCH_HEAD'), { force: true });
  }

  async #updateSubmodules(
    remote: string,
    gitDirectory: string,
    directory: string,
    signal: AbortSignal,
  ): Promise<void> {
    const place = worktree(gitDirectory, directory);
    const args = ['submodule', '--quiet', 'update', '--init', '--recursive'];
    try {
      await this.#git(remote, [...args, '--depth=1'], place, signal);
    } catch (error) {
      if (!isShallowRefused(error)) throw error;
      await this.#git(remote, args, place, signal);
    }
  }

  async #resolve(op: SourceOp, signal: AbortSignal): Promise<GitCommit> {
    const remote = remoteOf(op);
    const { ref, checksum, fetchByCommit } = op.attributes ?? {};
    const repository = join(this.#options.directory, digestHex(digestOf(remote)));
    using _lock = await this.#options.lock(lockName(remote), { signal });
    const found = COMMIT.test(ref ?? '') ? { commit: ref! } : await this.#find(remote, ref, signal);
    if (checksum !== undefined && !found.commit.startsWith(checksum) && !found.tag?.startsWith(checksum)) {
      throw new BuildError('INVALID_VALUE', `expected checksum to match ${checksum}, got ${found.commit}`, {
        hint: 'the branch or tag has moved, or the checksum is not its own',
      });
    }
    if (!existsSync(repository)) await this.#init(repository, found.commit, signal);
    if (!(await this.#has(repository, found.commit, signal)))
      await this.#fetch(
        remote,
        repository,
        fetchByCommit === 'true' ? { commit: found.commit } : found,
        signal,
      );
    if (!(await this.#has(repository, found.commit, signal)))
      throw new BuildError(
        'GIT_FAILED',
        `the repository "${withoutPassword(remote)}" has no commit ${found.commit}`,
      );
    return { ...found, repository };
  }

  async #init(repository: string, commit: string, signal: AbortSignal): Promise<void> {
    mkdirSync(this.#options.directory, { recursive: true, mode: 0o700 });
    const format = commit.length === 64 ? ['--object-format=sha256'] : [];
    await runGit({ args: ['init', '--quiet', '--bare', ...format, repository], signal });
  }

  async #has(repository: string, commit: string, signal: AbortSignal): Promise<boolean> {
    try {
      await runGit({ args: ['--git-dir', repository, 'cat-file', '-e', `${commit}^{tree}`], signal });
      return true;
    } catch (error) {
      if (error instanceof BuildError && error.code === 'GIT_FAILED') return false;
      throw error;
    }
  }

  /** Asks the remote what a ref is; branches come before tags of the same name. */
  async #find(remote: string, ref: string | undefined, signal: AbortSignal): Promise<RemoteRef> {
    const patterns = ref === undefined ? ['--symref', remote, 'HEAD'] : [remote, ref, `${ref}^{}`];
    const listed = (await this.#git(remote, ['ls-remote', ...patterns], {}, signal)).toString('utf8');
    const branch = /^ref: (\S+)\tHEAD$/m.exec(listed)?.[1];
    const refs = new Map(
      listed
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split('\t').reverse() as [string, string]),
    );
    for (const name of ref === undefined
      ? ['HEAD']
      : [`refs/heads/${ref}`, `refs/tags/${ref}`, ref, `refs/${ref}`]) {
      const object = refs.get(name);
      const peeled = refs.get(`${name}^{}`);
      if (object === undefined) continue;
      const full = name === 'HEAD' ? (branch ?? name) : name;
      return peeled === undefined
        ? { commit: object, ref: full }
        : { commit: peeled, tag: object, ref: full };
    }
    const what = ref === undefined ? 'has no commit' : `does not contain ref ${ref}`;
    throw new BuildError('GIT_FAILED', `the repository "${withoutPassword(remote)}" ${what}`, {
      hint: 'check the name of the branch, tag or commit; a commit is written in full',
    });
  }

  /** Only the one commit where the server gives it; else everything. */
  async #fetch(
    remote: string,
    repository: string,
    { ref, commit }: RemoteRef,
    signal: AbortSignal,
  ): Promise<void> {
    const fetch = (...args: string[]) =>
      this.#git(remote, ['fetch', '--quiet', '--force', ...args], { repository }, signal);
    rmSync(join(repository, 'shallow.lock'), { force: true });
    const target = ref === undefined ? commit : `${ref}:refs/tags/${shortRef(ref)}`;
    try {
      await fetch('--depth=1', '--no-tags', remote, target);
    } catch (error) {
      if (!(error instanceof BuildError) || error.code !== 'GIT_FAILED') throw error;
      if (!isShallowRefused(error) && ref !== undefined) throw error;
      const whole = existsSync(join(repository, 'shallow')) ? ['--unshallow'] : [];
      if (ref !== undefined) await fetch('--no-tags', remote, target);
      else await fetch(...whole, '--tags', remote, '+refs/heads/*:refs/remotes/origin/*');
    }
  }

  #git(
    remote: string,
    args: readonly string[],
    place: { readonly repository?: string; readonly directory?: string; readonly worktree?: string },
    signal: AbortSignal,
  ): Promise<Buffer> {
    const socket = this.#options.sshSocket();
    const call: GitCall = {
      args: place.repository === undefined ? args : ['--git-dir', place.repository, ...args],
      settings: this.#authorization(remote),
      environment: {
        ...(socket === undefined ? {} : { SSH_AUTH_SOCK: socket }),
        ...(place.worktree === undefined ? {} : { GIT_WORK_TREE: place.worktree }),
      },
      signal,
      ...(place.directory === undefined ? {} : { directory: place.directory }),
    };
    return runGit(call);
  }

  /** Secrets GIT_AUTH_HEADER and GIT_AUTH_TOKEN, those of the host first. */
  #authorization(remote: string): Record<string, string> {
    if (!/^https?:/i.test(remote)) return {};
    const { host, origin } = new URL(remote);
    for (const suffix of [`.${host}`, '']) {
      const header = this.#options.secret(`GIT_AUTH_HEADER${suffix}`)?.toString('utf8').trim();
      const token = this.#options.secret(`GIT_AUTH_TOKEN${suffix}`)?.toString('utf8').trim();
      const value = header ?? (token && `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`);
      if (value) return { [`http.${origin}/.extraheader`]: `Authorization: ${value}` };
    }
    return {};
  }
}

function worktree(gitDirectory: string, directory: string) {
  return { repository: gitDirectory, worktree: directory, directory };
}

function shortRef(ref: string): string {
  return ref.replace(/^refs\/(heads|tags)\//, '');
}

function isShallowRefused(error: unknown): boolean {
  return error instanceof BuildError && /shallow/.test(error.message);
}

function lockName(remote: string): string {
  return `git-${digestHex(digestOf(remote)).slice(0, 32)}`;
}

function remoteOf(op: SourceOp): string {
  return op.identifier.slice('git+'.length);
}

function withoutPassword(remote: string): string {
  return remote.replace(/(\/\/)[^/@\s]*@/, '$1');
}
