import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from './cli.js';
import { tmpDir } from './tmp-dir.js';

const cache = process.env['TSBUILD_TEST_CACHE'] ?? '/var/tmp/tsbuild-test-cache';
const archive = join(cache, 'bookworm-minbase.tar');

/** Whether an earlier run left the archive: an ordinary user cannot run debootstrap. */
export function hasDebianRootfs(): boolean {
  return existsSync(archive);
}

/** An archive of Debian's root file system, kept from run to run because debootstrap takes a minute. */
export async function debianRootfs(): Promise<string> {
  if (hasDebianRootfs()) return archive;
  mkdirSync(cache, { recursive: true });
  const dir = tmpDir();
  await mustRun('debootstrap', ['--variant=minbase', 'bookworm', `${dir}/rootfs`]);
  await mustRun('tar', ['--numeric-owner', '-cf', `${archive}.${process.pid}`, '-C', `${dir}/rootfs`, '.']);
  await mustRun('mv', [`${archive}.${process.pid}`, archive]);
  return archive;
}
