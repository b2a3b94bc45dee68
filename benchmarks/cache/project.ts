import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** One image of a project: what `build` gets, and a file of the image whose content depends on all of its sources. */
export interface ProjectImage {
  readonly name: string;
  /** Path of the Dockerfile below the project. */
  readonly dockerfile: string;
  readonly proof: string;
}

/** One commit: what it says, and what it does to the working tree. */
export interface Commit {
  readonly subject: string;
  readonly apply: (tree: WorkingTree) => void;
  /** `--build-arg`s from this commit on. */
  readonly args?: Readonly<Record<string, string>>;
}

export interface Project {
  readonly name: string;
  readonly images: readonly ProjectImage[];
  create(tree: WorkingTree): void;
  /** The history after the first commit: the same at every run. */
  commits(count: number): readonly Commit[];
}

/** The files of a project; what is written gets the current time, as after a checkout. */
export class WorkingTree {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  write(path: string, text: string): void {
    const file = join(this.root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  edit(path: string, change: (text: string) => string): void {
    const file = join(this.root, path);
    writeFileSync(file, change(readFileSync(file, 'utf8')));
  }

  mode(path: string, mode: number): void {
    chmodSync(join(this.root, path), mode);
  }

  remove(path: string): void {
    rmSync(join(this.root, path), { recursive: true });
  }
}

/** A history from kinds of commits by their share in it: the kind that is most behind its share comes next. */
export function history(
  count: number,
  kinds: readonly (readonly [share: number, make: (round: number) => Commit])[],
): Commit[] {
  const total = kinds.reduce((sum, [share]) => sum + share, 0);
  const made = kinds.map(() => 0);
  return Array.from({ length: count }, (_, i) => {
    const behind = kinds.map(([share], k) => ((i + 1) * share) / total - made[k]!);
    const next = behind.indexOf(Math.max(...behind));
    return kinds[next]![1](made[next]!++);
  });
}
