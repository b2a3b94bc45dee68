// Records what `docker buildx bake` prints for each case of test/unit/bake/bake-cases.ts. No engine is needed.
//   npx tsx scripts/record-bake.ts [--root DIR]     DIR: a root directory with docker and buildx in it (chroot)
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BAKE_CASES } from '../test/unit/bake/bake-cases.js';

const root = process.argv[2] === '--root' ? process.argv[3]! : '/';
const recorded: Record<string, { status: number; stdout: string; error?: string }> = {};
const places = mkdtempSync(join(root, 'tmp/bake-record-'));
const inRoot = (path: string) => (root === '/' ? path : path.slice(root.replace(/\/$/, '').length));
try {
  BAKE_CASES.forEach(({ name, files, args = ['--print'], env = {} }, i) => {
    const directory = join(places, String(i));
    mkdirSync(directory);
    for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text);
    const script = 'cd "$1" && shift && exec docker buildx bake "$@"';
    const result = spawnSync('chroot', [root, 'sh', '-c', script, 'sh', inRoot(directory), ...args], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], HOME: '/root', ...env },
    });
    if (result.error) throw result.error;
    const error = /^ERROR: (.*)$/m.exec(result.stderr)?.[1];
    recorded[name] = {
      status: result.status ?? -1,
      stdout: result.stdout,
      ...(result.status === 0 ? {} : { error: error ?? result.stderr.split('\n')[0]! }),
    };
  });
} finally {
  rmSync(places, { recursive: true });
}
const file = join(import.meta.dirname, '../test/unit/bake/recorded.json');
writeFileSync(file, `${JSON.stringify(recorded, null, 2)}\n`);
