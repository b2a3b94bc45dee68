import { chmodSync, lstatSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Numbers from a seed; equal seeds, equal numbers. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to `below` - 1. */
  int(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  }

  chance(percent: number): boolean {
    return this.int(100) < percent;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)]!;
  }
}

type ContextFile =
  | { readonly kind: 'file'; readonly text: string; readonly mode: number; readonly mtimeSec: number }
  | { readonly kind: 'link'; readonly target: string };

/** All that a build depends on. Plain data, so that a failure prints it and an earlier state comes back. */
export interface BuildState {
  readonly files: Readonly<Record<string, ContextFile>>;
  readonly ignore: readonly string[];
  readonly stages: readonly { readonly from: string; readonly instructions: readonly string[] }[];
  readonly args: Readonly<Record<string, string>>;
}

const DIRECTORIES = ['a', 'a/b', 'd'];
const NAMES = ['f', 'g', 'h.txt'];
const TEXTS = ['', 'one\n', 'two\n', 'three\n', 'a longer text\n'];
const SOURCES = [...DIRECTORIES, '.', 'a/f', 'f', 'g', 'd/h.txt', '*.txt', 'a/*', '*'];
const TARGETS = ['/', '/x/', '/x', '/x/y/', './', 'z/', '/link/'];

/** @param base an image with a shell, for states with RUN */
export function randomState(random: Random, base: string | undefined): BuildState {
  const files: Record<string, ContextFile> = {};
  for (const path of ['f', 'g', 'a/f', 'a/b/g', 'd/h.txt', randomPath(random)])
    files[path] = randomFile(random);
  const stages = Array.from({ length: 1 + random.int(3) }, (_, i) => ({
    from: i > 0 && random.chance(40) ? `s${random.int(i)}` : (base ?? 'scratch'),
    instructions: Array.from({ length: 1 + random.int(4) }, () =>
      randomInstruction(random, i, base !== undefined),
    ),
  }));
  return { files, ignore: [], stages, args: {} };
}

export function randomEdit(random: Random, state: BuildState, hasShell: boolean): BuildState {
  const kind = random.int(hasShell ? 10 : 12);
  if (kind < 5) return { ...state, files: editFiles(random, state.files) };
  if (kind === 5)
    return { ...state, args: { ...state.args, [random.pick(['A', 'B'])]: random.pick(['1', '2', 'f']) } };
  if (kind === 6) {
    const pattern = random.pick(['a', 'a/*', '**/f', '*.txt', '!a/f', 'd', '!d/h.txt', 'a/b']);
    return { ...state, ignore: random.chance(50) ? [...state.ignore, pattern] : state.ignore.slice(1) };
  }
  const at = random.int(state.stages.length);
  const stages = state.stages.map((stage, i) => {
    if (i !== at) return stage;
    const instructions = [...stage.instructions];
    const place = random.int(instructions.length);
    const made = randomInstruction(random, i, hasShell);
    instructions.splice(
      place,
      random.chance(70) ? 1 : 0,
      ...(random.chance(80) || instructions.length < 2 ? [made] : []),
    );
    return { ...stage, instructions };
  });
  return { ...state, stages };
}

function editFiles(random: Random, files: BuildState['files']): BuildState['files'] {
  const paths = Object.keys(files);
  const path = random.pick(paths);
  const file = files[path]!;
  const { [path]: _edited, ...others } = files;
  switch (random.int(6)) {
    case 0:
      return paths.length > 1 ? others : files;
    case 1:
      return { ...others, [randomPath(random)]: file };
    case 2:
      // Equal size and time, other content: only the change time tells.
      return file.kind === 'file'
        ? { ...files, [path]: { ...file, text: file.text.replace(/./g, 'x') } }
        : files;
    case 3:
      return file.kind === 'file'
        ? { ...files, [path]: { ...file, mtimeSec: file.mtimeSec + random.int(9) } }
        : files;
    case 4:
      return file.kind === 'file'
        ? { ...files, [path]: { ...file, mode: random.pick([0o644, 0o600, 0o755]) } }
        : files;
    default:
      return { ...files, [random.chance(50) ? path : randomPath(random)]: randomFile(random) };
  }
}

function randomPath(random: Random): string {
  return join(random.chance(70) ? random.pick(DIRECTORIES) : '', random.pick(NAMES));
}

function randomFile(random: Random): ContextFile {
  if (random.chance(8)) return { kind: 'link', target: random.pick(['f', 'a', '../d', '/d', 'nowhere']) };
  return {
    kind: 'file',
    text: random.pick(TEXTS),
    mode: random.pick([0o644, 0o644, 0o755, 0o600]),
    mtimeSec: 1_700_000_000 + random.int(5),
  };
}

function randomInstruction(random: Random, stage: number, hasShell: boolean): string {
  if (hasShell && random.chance(35)) return randomRun(random, stage);
  switch (random.int(10)) {
    case 0:
      return `WORKDIR ${random.pick(['/w', 'sub', '/x/$A', '$B'])}`;
    case 1:
      return `ENV E=${random.pick(['1', '$A', '$B-2'])}`;
    case 2:
      return `ARG ${random.pick(['A=1', 'A', 'B=f', 'B'])}`;
    case 3:
      return `LABEL l=${random.pick(['1', '$A', '${E:-none}'])}`;
    case 4:
    case 5:
      if (stage > 0)
        return `COPY --from=s${random.int(stage)} ${random.pick(['/', '/', '/', '/x', '/w*', '/x*'])} ${random.pick(TARGETS)}`;
      return `ADD ${random.pick(SOURCES)} ${random.pick(TARGETS)}`;
    default: {
      const flags = random.pick(['', '', '--chmod=640 ', '--chown=7:8 ', '--link ', '--chmod=u=rwX,go= ']);
      return `COPY ${flags}${random.pick(SOURCES)} ${random.pick(TARGETS)}`;
    }
  }
}

function randomRun(random: Random, stage: number): string {
  const mounts = [
    '',
    '',
    `--mount=type=bind,source=${random.pick(['a', 'd', '.'])},target=/m `,
    '--mount=type=cache,target=/c ',
    ...(stage > 0 ? [`--mount=type=bind,from=s${random.int(stage)},source=/,target=/m `] : []),
  ];
  // A second step that writes the same file again changes its time or not, as the clock has it: each writes its own.
  const own = random.int(1_000_000);
  const scripts = [
    `ls -R /m /x 2>/dev/null | wc -l > /count${own}`,
    `cat /m/f /x/f > /joined${own} 2>/dev/null || true`,
    `mkdir -p /x && echo "$A" > /x/arg${own}`,
    'rm -rf /x',
    `echo fixed > /fixed${own}; [ -d /c ] && echo x >> /c/log; true`,
    `ln -s x /link${own}`,
  ];
  return `RUN ${random.pick(mounts)}${random.pick(scripts)}`;
}

export function dockerfileOf({ stages }: BuildState): string {
  return stages
    .flatMap(({ from, instructions }, i) => [`FROM ${from} AS s${i}`, 'ARG A', ...instructions, ''])
    .join('\n');
}

/** Makes the directory hold the state's files; what is equal in `before` is not touched. */
export function writeState(directory: string, state: BuildState, before?: BuildState): void {
  const changed = (path: string) => JSON.stringify(before?.files[path]) !== JSON.stringify(state.files[path]);
  for (const path of Object.keys(before?.files ?? {}).filter(changed))
    rmSync(join(directory, path), { force: true, recursive: true });
  for (const [path, file] of Object.entries(state.files)) {
    if (!changed(path) && lstatSync(join(directory, path), { throwIfNoEntry: false })) continue;
    makeParents(directory, dirname(path));
    rmSync(join(directory, path), { force: true, recursive: true });
    if (file.kind === 'link') symlinkSync(file.target, join(directory, path));
    else {
      writeFileSync(join(directory, path), file.text);
      chmodSync(join(directory, path), file.mode);
      utimesSync(join(directory, path), file.mtimeSec, file.mtimeSec);
    }
  }
  writeFileSync(join(directory, '.dockerignore'), state.ignore.join('\n'));
}

function makeParents(directory: string, path: string): void {
  if (path === '.') return;
  makeParents(directory, dirname(path));
  const stat = lstatSync(join(directory, path), { throwIfNoEntry: false });
  if (stat?.isDirectory()) return;
  if (stat) rmSync(join(directory, path));
  mkdirSync(join(directory, path), { mode: 0o755 });
}
