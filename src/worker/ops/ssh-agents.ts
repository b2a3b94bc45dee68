import { spawn } from 'node:child_process';
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BuildError } from '../../errors.js';
import { findProgram } from '../sys/programs.js';
import { setOwner } from '../sys/subordinate-ids.js';

/** Where an agent is: a socket, or files with keys for an agent of the build's own. */
export interface SshOrigin {
  readonly paths: readonly string[];
}

/** The longest path that fits into a socket's address. */
const LONGEST_SOCKET_PATH = 100;

/** The agents of `--ssh`, each started when the first step asks for it. */
export class SshAgents {
  readonly #origins: Readonly<Record<string, SshOrigin>>;
  readonly #sockets = new Map<string, Promise<string>>();
  readonly #closing: (() => void)[] = [];

  constructor(origins: Readonly<Record<string, SshOrigin>>) {
    this.#origins = origins;
  }

  /** Path of the agent's socket; undefined where the build has none of that name. @throws SECRET_MISSING */
  async socket(id: string): Promise<string | undefined> {
    const origin = Object.hasOwn(this.#origins, id) ? this.#origins[id] : undefined;
    if (!origin) return undefined;
    let socket = this.#sockets.get(id);
    if (!socket) {
      socket = this.#open(id, origin);
      this.#sockets.set(id, socket);
    }
    return socket;
  }

  /** The socket where it is one that exists already. */
  existingSocket(id: string): string | undefined {
    const path = this.#origins[id]?.paths[0];
    return path !== undefined && statSync(path, { throwIfNoEntry: false })?.isSocket() ? path : undefined;
  }

  /** Ends the agents that were started. */
  close(): void {
    for (const end of this.#closing) end();
  }

  async #open(id: string, { paths }: SshOrigin): Promise<string> {
    const [first] = paths;
    if (first === undefined || first === '')
      throw missing(id, 'SSH_AUTH_SOCK is not set', 'start ssh-agent, or name a key file');
    for (const path of paths)
      if (!statSync(path, { throwIfNoEntry: false })) throw missing(id, `"${path}" does not exist`);
    if (statSync(first).isSocket()) return first;
    return this.#startAgent(id, paths);
  }

  async #startAgent(id: string, keys: readonly string[]): Promise<string> {
    const agent = findProgram('ssh-agent');
    const add = findProgram('ssh-add');
    if (agent === undefined || add === undefined)
      throw missing(id, 'key files need ssh-agent and ssh-add', 'install openssh-client');
    const directory = mkdtempSync(join(tmpdir(), 'tsbuild-ssh-'));
    const socket = join(directory, 'agent');
    // In the foreground, so that it ends with this process's kill; PDEATHSIG would miss a kill -9 of ours, `-t` does not.
    const running = spawn(agent, ['-D', '-a', socket, '-t', '86400'], { stdio: 'ignore' });
    // Its socket does not come then.
    running.once('error', () => undefined);
    this.#closing.push(() => {
      running.kill();
      rmSync(directory, { recursive: true, force: true });
    });
    await waitForSocket(socket);
    for (const key of keys) await addKey(id, add, socket, key);
    return socket;
  }
}

function addKey(id: string, program: string, socket: string, key: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const env = {
      ...process.env,
      SSH_AUTH_SOCK: socket,
      SSH_ASKPASS: '/bin/false',
      SSH_ASKPASS_REQUIRE: 'force',
    };
    const child = spawn(program, ['-q', key], { stdio: 'ignore', env });
    child.once('error', reject);
    child.once('exit', (code) =>
      code === 0
        ? resolve()
        : reject(
            missing(
              id,
              `ssh-add does not take the key "${key}"`,
              'use a key without a passphrase, or your own agent',
            ),
          ),
    );
  });
}

async function waitForSocket(path: string): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if (statSync(path, { throwIfNoEntry: false })) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new BuildError('EXECUTOR_FAILED', 'ssh-agent does not start');
}

/**
 * A socket in `directory` that hands everything on to the agent's, with the owner and mode that the mount asks for.
 */
export async function forwardSocket(
  agent: string,
  directory: string,
  { mode, uid, gid }: { readonly mode: number; readonly uid: number; readonly gid: number },
): Promise<{ readonly path: string; close(): void }> {
  const path = join(directory, 'agent');
  const server = createServer((inside) => {
    const outside = connect(agent);
    inside.pipe(outside).pipe(inside);
    inside.on('error', () => outside.destroy());
    outside.on('error', () => inside.destroy());
  });
  const fd = path.length > LONGEST_SOCKET_PATH ? openSync(directory, 'r') : undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(fd === undefined ? path : `/proc/self/fd/${fd}/agent`, resolve);
    });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
  server.unref();
  chmodSync(path, mode);
  setOwner(path, uid, gid, () => `the SSH agent is to belong to ${uid}:${gid}`);
  return { path, close: () => void server.close() };
}

function missing(id: string, why: string, hint = 'check the --ssh flag'): BuildError {
  return new BuildError('SECRET_MISSING', `ssh agent "${id}": ${why}`, { hint });
}
