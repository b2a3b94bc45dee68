import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from './needs.js';
import { tmpDir } from './tmp-dir.js';

const DIRECTORIES = [
  'bin',
  'dev',
  'etc',
  'home/app',
  'proc',
  'root',
  'sys',
  'tmp',
  'usr/bin',
  'usr/sbin',
  'var/tmp',
];

const FILES: Readonly<Record<string, string>> = {
  'etc/passwd': [
    'root:x:0:0:root:/root:/bin/sh',
    'daemon:x:1:1:daemon:/usr/sbin:/bin/false',
    'app:x:1000:1000:an application:/home/app:/bin/sh',
    'nobody:x:65534:65534:nobody:/nonexistent:/bin/false',
    '',
  ].join('\n'),
  'etc/group': [
    'root:x:0:',
    'daemon:x:1:',
    'wheel:x:10:root,app',
    'video:x:27:app',
    'app:x:1000:',
    'nobody:x:65534:',
    '',
  ].join('\n'),
  'etc/os-release': 'ID=tsbuild-base\nNAME="tsbuild test base"\nVERSION_ID=1\n',
  'etc/profile': 'export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n',
};

/**
 * A root file system of busybox with all its applets, the users root, daemon, app (1000, also in wheel and video) and nobody.
 * Owned by whoever calls; modes do not depend on the umask. The busybox-static package has the program.
 */
export function makeBaseRootfs(root = tmpDir()): string {
  const busybox = findProgram('busybox');
  if (busybox === undefined) throw new Error('busybox is not installed');
  for (const dir of DIRECTORIES) {
    mkdirSync(join(root, dir), { recursive: true });
    chmodSync(join(root, dir), 0o755);
  }
  chmodSync(root, 0o755);
  for (const dir of ['home', 'usr', 'var']) chmodSync(join(root, dir), 0o755);
  for (const dir of ['tmp', 'var/tmp']) chmodSync(join(root, dir), 0o1777);
  chmodSync(join(root, 'root'), 0o700);
  symlinkSync('bin', join(root, 'sbin'));
  copyFileSync(busybox, join(root, 'bin/busybox'));
  chmodSync(join(root, 'bin/busybox'), 0o755);
  for (const applet of execFileSync(busybox, ['--list'], { encoding: 'utf8' }).split('\n')) {
    if (applet !== '' && applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet));
  }
  for (const [path, text] of Object.entries(FILES)) {
    writeFileSync(join(root, path), text);
    chmodSync(join(root, path), 0o644);
  }
  return root;
}
