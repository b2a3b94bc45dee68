import { mkdirSync, writeFileSync } from 'node:fs';
import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';

/** Where the result of a build goes; `load` is Docker's engine. */
export type Output = 'store' | 'archive' | 'oci-gzip' | 'oci-zstd' | 'load';

/** What a limit's command may use: all of it exists while it runs. */
export interface Site {
  readonly context: string;
  /** Empty before each round. */
  readonly scratch: string;
  readonly rootfs: string;
  /** The layers that the builders pull, for `pulled` work loads. */
  readonly blobs: readonly string[];
}

/** What the machine itself needs for the same work; measured beside the builders. */
export interface Limit {
  readonly name: string;
  readonly needs: readonly string[];
  readonly command: (site: Site) => readonly string[];
}

/** One letter of the table: a context, and how a round is prepared so that it measures what the letter says. */
export interface WorkLoad {
  readonly letter: string;
  readonly what: string;
  /**
   * Writes Dockerfile and files into an empty directory. The image `bench-base` is one that every builder has. `scale`
   * multiplies the sizes of the letters that are about sizes.
   */
  readonly makeContext: (dir: string, scale?: number) => void;
  /**
   * `cached` builds once before the rounds; `cold` drops the builder's cache before each round; `pulled` makes an image of the context
   * for each round, which the builders pull and run; `edited` changes one file before each round.
   */
  readonly state: 'cached' | 'cold' | 'pulled' | 'edited';
  readonly output: Output;
  /** Which Docker takes the image of `load`: that of this machine, or the newer one. */
  readonly engine?: 'new';
  /** The archive of the build before is still there; else its place is empty before each build. */
  readonly keepsArchive?: boolean;
  readonly limits?: readonly Limit[];
  /** Rounds of a full run. */
  readonly rounds: number;
  /** Too long for `--quick`. */
  readonly long?: boolean;
}

export const steps = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join('\n');

export function makeTree(dir: string, count: number, sizeBytes: number): void {
  const data = Buffer.alloc(sizeBytes);
  for (let i = 0; i < count; i++) {
    const folder = join(dir, `d${Math.floor(i / 100)}`);
    if (i % 100 === 0) mkdirSync(folder, { recursive: true });
    randomFillSync(data);
    writeFileSync(join(folder, `f${i}`), data);
  }
}

/** Files of which one half is random and the other text, as packages are. */
function makeMixedTree(dir: string, count: number, sizeBytes: number): void {
  const data = Buffer.alloc(sizeBytes, 'export const answer = (question) => question.length * 42;\n');
  for (let i = 0; i < count; i++) {
    const folder = join(dir, `d${Math.floor(i / 100)}`);
    if (i % 100 === 0) mkdirSync(folder, { recursive: true });
    randomFillSync(data, 0, sizeBytes / 2);
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

function copyAndRun(dir: string, files: number): void {
  makeTree(join(dir, 'tree'), files, 200);
  writeFileSync(join(dir, 'Dockerfile'), 'FROM bench-base\nCOPY tree /tree\nRUN echo 1\n');
}

const gibibyte = (dir: string, scale = 1) => copyOfTree(dir, Math.ceil(2_000 * scale), 512 * 1024);

/** The source file that is changed before each round of `edited`. */
export const EDITED_FILE = 'src/index.js';

/** The trees of F, each a layer. */
const PULLED_TREES = ['a', 'b', 'c', 'd'] as const;

/** Has each layer of a `pulled` context differ from those of other rounds. */
export function changePulled(dir: string, round: number): void {
  for (const tree of PULLED_TREES) writeFileSync(join(dir, tree, 'round'), `${round}\n`);
}

function nodeApp(dir: string, scale = 1): void {
  makeMixedTree(join(dir, 'node_modules'), Math.ceil(32_000 * scale), 64 * 1024);
  mkdirSync(join(dir, 'src'));
  for (let i = 0; i < 100; i++) writeFileSync(join(dir, `src/module-${i}.js`), `module.exports = ${i};\n`);
  writeFileSync(join(dir, EDITED_FILE), 'console.log(0);\n');
  writeFileSync(join(dir, 'package.json'), '{ "name": "app" }\n');
  writeFileSync(
    join(dir, 'Dockerfile'),
    'FROM bench-base\nWORKDIR /app\nCOPY package.json .\nCOPY node_modules node_modules\nCOPY src src\nCMD ["node", "src"]\n',
  );
}

const shell = (script: string) => ['sh', '-c', script];

const FIND: Limit = {
  name: 'find -printf',
  needs: ['find'],
  command: ({ context }) => shell(`find ${context} -printf '%p %s %m %T@\\n' > /dev/null`),
};

const packed = (name: string, needs: readonly string[], filter: string): Limit => ({
  name,
  needs: ['tar', ...needs],
  command: ({ context, scratch }) =>
    shell(`tar c -C ${context} tree | ${filter.replaceAll('OUT', `${scratch}/out`)}`),
});

const TAR_AND_HASH = packed('tar | openssl dgst', ['openssl'], 'tee OUT | openssl dgst -sha256 > /dev/null');

/** crun refuses a machine with both versions of control groups until the second is out of its sight. */
const HIDE_CGROUPS = 'if [ -d /sys/fs/cgroup/unified ]; then mount -t tmpfs none /sys/fs/cgroup/unified; fi';

/** Writes the config of a container into the current directory. */
const crunSpec = (args: string, rootfs: string) =>
  `crun spec && sed -i -e 's/"terminal": true/"terminal": false/' -e 's/"sh"/${args}/' -e "s,\\"path\\": \\"rootfs\\",\\"path\\": \\"${rootfs}\\"," config.json`;

/** A script of crun's that has mounts of its own. */
const containers = (name: string, needs: readonly string[], lines: readonly string[]): Limit => ({
  name,
  needs: ['crun', 'unshare', ...needs],
  command: ({ scratch, rootfs }) => [
    'unshare',
    '-m',
    ...shell(['set -e', HIDE_CGROUPS, 'cd $1', ...lines].join('\n')),
    'sh',
    scratch,
    rootfs,
  ],
});

const TEN_CONTAINERS = containers(
  '10 bare crun run',
  [],
  [crunSpec('"true"', '$2'), 'for i in 0 1 2 3 4 5 6 7 8 9; do crun run bench-$$-$i; done'],
);

/** What E cannot do without, but for the network of its steps: Node, a snapshot and a container for each stage, the two at once. */
const TWO_SLEEPERS = containers(
  'node -e 0, two crun run',
  ['node'],
  [
    'env -u NODE_EXTRA_CA_CERTS node -e 0',
    'for i in a b; do',
    '  mkdir -p $i/upper $i/work $i/rootfs',
    '  mount -t overlay -o lowerdir=$2,upperdir=$i/upper,workdir=$i/work none $i/rootfs',
    `  (cd $i; ${crunSpec('"sh", "-c", "sleep 2; echo a > \\/a"', '$PWD/rootfs')})`,
    `  sed -i 's/"readonly": true/"readonly": false/' $i/config.json`,
    'done',
    '(cd a; exec crun run bench-$$-a) & (cd b; exec crun run bench-$$-b)',
    'wait $!',
    'umount a/rootfs b/rootfs',
  ],
);

export const WORK_LOADS: readonly WorkLoad[] = [
  {
    letter: 'A1',
    what: 'nothing changed: 10 steps, 4 small COPY, context of 10,000 files',
    makeContext: tenSteps,
    state: 'cached',
    output: 'store',
    limits: [
      {
        name: 'node -e 0',
        needs: ['node'],
        command: () => ['env', '-u', 'NODE_EXTRA_CA_CERTS', 'node', '-e', '0'],
      },
    ],
    rounds: 15,
  },
  {
    letter: 'A2',
    what: 'nothing changed: all 10,000 files copied',
    makeContext: (dir) => copyAndRun(dir, 10_000),
    state: 'cached',
    output: 'store',
    limits: [FIND],
    rounds: 9,
  },
  {
    letter: 'A3',
    what: 'nothing changed: all 100,000 files copied',
    makeContext: (dir, scale = 1) => copyAndRun(dir, Math.ceil(100_000 * scale)),
    state: 'cached',
    output: 'store',
    limits: [FIND],
    rounds: 7,
    long: true,
  },
  {
    letter: 'B',
    what: 'nothing changed, docker archive (64 MiB) written over itself',
    makeContext: (dir) => copyOfTree(dir, 64, 1 << 20),
    state: 'cached',
    output: 'archive',
    keepsArchive: true,
    rounds: 9,
  },
  {
    letter: 'B2',
    what: 'the same where the archive was removed',
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
    limits: [TEN_CONTAINERS],
    rounds: 7,
  },
  {
    letter: 'D',
    what: '1 GiB context of 2,000 files, cold, docker archive',
    makeContext: gibibyte,
    state: 'cold',
    output: 'archive',
    limits: [TAR_AND_HASH],
    rounds: 7,
    long: true,
  },
  {
    letter: 'D2',
    what: 'the context of D, cold, OCI archive with gzip',
    makeContext: gibibyte,
    state: 'cold',
    output: 'oci-gzip',
    limits: [packed('tar | pigz', ['pigz'], 'pigz > OUT')],
    rounds: 7,
    long: true,
  },
  {
    letter: 'D3',
    what: 'the context of D, cold, OCI archive with zstd',
    makeContext: gibibyte,
    state: 'cold',
    output: 'oci-zstd',
    limits: [packed('tar | zstd -T0', ['zstd'], 'zstd -q -3 -T0 > OUT')],
    rounds: 7,
    long: true,
  },
  {
    letter: 'D4',
    what: '50,000 files of 2 KiB, cold COPY and archive',
    makeContext: (dir, scale = 1) => copyOfTree(dir, Math.ceil(50_000 * scale), 2048),
    state: 'cold',
    output: 'archive',
    limits: [TAR_AND_HASH],
    rounds: 7,
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
    limits: [{ name: 'sleep 2', needs: ['sleep'], command: () => ['sleep', '2'] }, TWO_SLEEPERS],
    rounds: 7,
  },
  {
    letter: 'F',
    what: 'image of 500 MB pulled cold from a registry on loopback, then RUN true',
    makeContext: (dir, scale = 1) => {
      for (const tree of PULLED_TREES) makeMixedTree(join(dir, tree), Math.ceil(4_000 * scale), 32 * 1024);
      const lines = PULLED_TREES.map((tree) => `COPY ${tree} /${tree}`);
      writeFileSync(join(dir, 'Dockerfile'), `FROM bench-base\n${lines.join('\n')}\n`);
    },
    state: 'pulled',
    output: 'store',
    limits: [
      {
        name: 'tar -xz',
        needs: ['tar', 'gzip'],
        command: ({ blobs, scratch }) =>
          shell(`for blob in ${blobs.join(' ')}; do tar -xzf $blob -C ${scratch} || exit 1; done`),
      },
    ],
    rounds: 7,
    long: true,
  },
  {
    letter: 'G',
    what: 'one source file changed in a Node app of 2 GB, then loaded into Docker',
    makeContext: nodeApp,
    state: 'edited',
    output: 'load',
    rounds: 7,
    long: true,
  },
  {
    letter: 'G2',
    what: 'the same with a newer Docker',
    makeContext: nodeApp,
    state: 'edited',
    output: 'load',
    engine: 'new',
    rounds: 7,
    long: true,
  },
];
