import { mkdirSync, writeFileSync } from 'node:fs';
import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';

/** One letter of the table: a context, and how a round is prepared so that it measures what the letter says. */
export interface WorkLoad {
  readonly letter: string;
  readonly what: string;
  /** Writes Dockerfile and files into an empty directory. `base` names an image that every builder has. */
  readonly makeContext: (dir: string) => void;
  /** `cached` builds once before the rounds; `cold` drops the builder's cache before each round. */
  readonly state: 'cached' | 'cold';
  /** Where the result goes. */
  readonly output: 'store' | 'archive';
  /** What the machine itself needs for the same work; measured beside the builders. */
  readonly limit?: { readonly name: string; readonly command: (dir: string) => readonly string[] };
  /** Rounds of a full run. */
  readonly rounds: number;
  /** Too long for `--quick`. */
  readonly long?: boolean;
}

const steps = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join('\n');

function makeTree(dir: string, count: number, sizeBytes: number): void {
  const data = Buffer.alloc(sizeBytes);
  for (let i = 0; i < count; i++) {
    const folder = join(dir, `d${Math.floor(i / 100)}`);
    if (i % 100 === 0) mkdirSync(folder, { recursive: true });
    randomFillSync(data);
    writeFileSync(join(folder, `f${i}`), data);
  }
}

/** A context of one COPY. */
export function copyOfTree(dir: string, count: number, sizeBytes: number): void {
  makeTree(join(dir, 'tree'), count, sizeBytes);
  writeFileSync(join(dir, 'Dockerfile'), 'FROM bench-base\nCOPY tree /tree\n');
}

/** Ten steps, four of them small COPYs; the rest of the context is not copied. */
function tenSteps(dir: string): void {
  makeTree(join(dir, 'rest'), 10_000, 200);
  for (const name of ['a', 'b', 'c', 'd']) writeFileSync(join(dir, name), `${name}\n`);
  const lines = [
    'FROM bench-base',
    'RUN echo 1',
    'COPY a /a',
    'RUN echo 2',
    'COPY b /b',
    'RUN echo 3',
    'COPY c /c',
    'RUN echo 4',
    'COPY d /d',
    'RUN echo 5',
  ];
  writeFileSync(join(dir, 'Dockerfile'), `${lines.join('\n')}\n`);
}

export const WORK_LOADS: readonly WorkLoad[] = [
  {
    letter: 'A1',
    what: 'nothing changed: 10 steps, 4 small COPY, context of 10,000 files',
    makeContext: tenSteps,
    state: 'cached',
    output: 'store',
    limit: { name: 'node -e 0', command: () => ['env', '-u', 'NODE_EXTRA_CA_CERTS', 'node', '-e', '0'] },
    rounds: 15,
  },
  {
    letter: 'A2',
    what: 'nothing changed: all 10,000 files copied',
    makeContext: (dir) => {
      makeTree(join(dir, 'tree'), 10_000, 200);
      writeFileSync(join(dir, 'Dockerfile'), 'FROM bench-base\nCOPY tree /tree\nRUN echo 1\n');
    },
    state: 'cached',
    output: 'store',
    limit: {
      name: 'find -printf',
      command: (dir) => ['sh', '-c', `find ${dir} -printf '%p %s %m %T@\n' > /dev/null`],
    },
    rounds: 9,
  },
  {
    letter: 'B',
    what: 'nothing changed, docker archive written again (64 MiB)',
    makeContext: (dir) => copyOfTree(dir, 64, 1 << 20),
    state: 'cached',
    output: 'archive',
    rounds: 9,
  },
  {
    letter: 'C',
    what: 'ten RUN true, cold',
    makeContext: (dir) =>
      writeFileSync(join(dir, 'Dockerfile'), `FROM bench-base\n${steps(10, (i) => `RUN true ${i}`)}\n`),
    state: 'cold',
    output: 'store',
    rounds: 7,
  },
  {
    letter: 'D',
    what: '1 GiB context of 2,000 files, cold, docker archive',
    makeContext: (dir) => copyOfTree(dir, 2_000, 512 * 1024),
    state: 'cold',
    output: 'archive',
    limit: {
      name: 'tar | openssl dgst',
      command: (dir) => [
        'sh',
        '-c',
        `tar c -C ${dir} tree | tee ${dir}.tar | openssl dgst -sha256 > /dev/null; rm ${dir}.tar`,
      ],
    },
    rounds: 3,
    long: true,
  },
  {
    letter: 'D4',
    what: '50,000 files of 2 KiB, cold COPY and archive',
    makeContext: (dir) => copyOfTree(dir, 50_000, 2048),
    state: 'cold',
    output: 'archive',
    limit: {
      name: 'tar | openssl dgst',
      command: (dir) => ['sh', '-c', `tar c -C ${dir} tree | openssl dgst -sha256 > /dev/null`],
    },
    rounds: 3,
    long: true,
  },
  {
    letter: 'E',
    what: 'two stages of sleep 2',
    makeContext: (dir) =>
      writeFileSync(
        join(dir, 'Dockerfile'),
        'FROM bench-base AS a\nRUN sleep 2; echo a > /a\nFROM bench-base AS b\nRUN sleep 2; echo b > /b\nFROM bench-base\nCOPY --from=a /a /\nCOPY --from=b /b /\n',
      ),
    state: 'cold',
    output: 'store',
    rounds: 3,
  },
];
