import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mustRun } from './cli.js';
import { findProgram } from './needs.js';
import { tmpDir } from './tmp-dir.js';

/** A real docker-registry on loopback. */
export interface Registry {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** Where its blobs lie: `docker/registry/v2/blobs/sha256/aa/<hex>/data`. */
  readonly data: string;
  stop(): Promise<void>;
}

/** A port of loopback that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts it and waits until it answers; with `login`, htpasswd guards it. */
export async function startRegistry(login?: { user: string; password: string }): Promise<Registry> {
  const dir = tmpDir();
  const data = join(dir, 'data');
  mkdirSync(data);
  const host = `127.0.0.1:${await freePort()}`;
  let auth = '';
  if (login) {
    writeFileSync(join(dir, 'htpasswd'), await mustRun('htpasswd', ['-Bbn', login.user, login.password]));
    auth = `auth:\n  htpasswd:\n    realm: test\n    path: ${join(dir, 'htpasswd')}\n`;
  }
  writeFileSync(
    join(dir, 'config.yml'),
    `version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: ${data}\nhttp:\n  addr: ${host}\n${auth}`,
  );
  const child = spawn(findProgram('docker-registry')!, ['serve', join(dir, 'config.yml')], {
    stdio: 'ignore',
  });
  for (let tries = 0; !(await answers(host)); tries++) {
    if (tries > 100) throw new Error('docker-registry did not start');
    await sleep(50);
  }
  return {
    host,
    data,
    stop: () => endChild(child),
  };
}

/** Ends a child process and waits until it is gone. */
export async function endChild(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await ended;
}

async function answers(host: string): Promise<boolean> {
  try {
    return (await fetch(`http://${host}/v2/`)).status < 500;
  } catch {
    return false;
  }
}
