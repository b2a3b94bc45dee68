import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { endChild, freePort } from './registry.js';
import { tmpDir } from './tmp-dir.js';

/** A real S3 server (s3rver) on loopback with the bucket `cache`; it knows the key S3RVER and does not check
 * signatures of version 4. */
export interface S3Server {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly data: string;
  stop(): Promise<void>;
}

export async function startS3Server(): Promise<S3Server> {
  const data = tmpDir();
  const port = await freePort();
  const program = createRequire(import.meta.url).resolve('s3rver/bin/s3rver.js');
  const flags = [
    '-d',
    data,
    '-a',
    '127.0.0.1',
    '-p',
    String(port),
    '--silent',
    '--configure-bucket',
    'cache',
  ];
  const child = spawn(process.execPath, ['--no-deprecation', program, ...flags], { stdio: 'ignore' });
  const host = `127.0.0.1:${port}`;
  for (let tries = 0; !(await answers(host)); tries++) {
    if (tries > 200) throw new Error('s3rver did not start');
    await sleep(50);
  }
  return {
    host,
    data,
    stop: () => endChild(child, 'SIGKILL'),
  };
}

async function answers(host: string): Promise<boolean> {
  return fetch(`http://${host}/`).then(
    () => true,
    () => false,
  );
}

/** Attributes of the cache flags for that server. */
export function s3Attributes(host: string): Record<string, string> {
  return {
    bucket: 'cache',
    region: 'us-east-1',
    endpoint_url: `http://${host}`,
    use_path_style: 'true',
    access_key_id: 'S3RVER',
    secret_access_key: 'S3RVER',
  };
}
