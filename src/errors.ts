/**
 * Every error that a user can meet has a code; the code gives the exit status (0 done, 1 build failed,
 * 2 usage or Dockerfile, 3 registry or network, 4 damaged data, 130 interrupted) and a section of docs/errors.md.
 */
export const ERROR_EXIT_STATUS = {
  // Usage and Dockerfile
  USAGE: 2,
  CONFIG_INVALID: 2,
  UNSUPPORTED: 2,
  CONTEXT_NOT_FOUND: 2,
  DOCKERFILE_NOT_FOUND: 2,
  DOCKERFILE_SYNTAX: 2,
  UNKNOWN_INSTRUCTION: 2,
  UNKNOWN_FLAG: 2,
  STAGE_NOT_FOUND: 2,
  STAGE_CYCLE: 2,
  EXPANSION_FAILED: 2,
  INVALID_VALUE: 2,
  DOCKERIGNORE_INVALID: 2,
  REFERENCE_INVALID: 2,
  PLATFORM_INVALID: 2,
  CHECK_FAILED: 2,
  BAKE_NOT_FOUND: 2,
  BAKE_SYNTAX: 2,
  BAKE_INVALID: 2,
  // The build
  RUN_FAILED: 1,
  OUT_OF_MEMORY: 1,
  TIMED_OUT: 1,
  STEPS_FAILED: 1,
  SECRET_MISSING: 1,
  COPY_SOURCE_NOT_FOUND: 1,
  FILE_OPERATION_FAILED: 1,
  CONTEXT_CHANGED: 1,
  USER_NOT_FOUND: 1,
  EXECUTOR_FAILED: 1,
  MOUNT_FAILED: 1,
  NOT_PERMITTED: 1,
  PLATFORM_NOT_RUNNABLE: 1,
  IMAGE_NOT_FOUND: 1,
  EXPORT_FAILED: 1,
  SECRET_LEAKED: 1,
  NOT_REPRODUCIBLE: 1,
  STORE_FAILED: 1,
  DISK_FULL: 1,
  TOO_MANY_OPEN_FILES: 1,
  INTERNAL: 1,
  // Registry and network
  REGISTRY_UNREACHABLE: 3,
  REGISTRY_UNAUTHORIZED: 3,
  REGISTRY_DENIED: 3,
  REGISTRY_NOT_FOUND: 3,
  REGISTRY_FAILED: 3,
  CREDENTIALS_FAILED: 3,
  DOWNLOAD_FAILED: 3,
  CACHE_FAILED: 3,
  ENGINE_UNREACHABLE: 3,
  GIT_FAILED: 3,
  // Damaged data
  BLOB_CORRUPT: 4,
  MANIFEST_INVALID: 4,
  CACHE_INVALID: 4,
  TAR_INVALID: 4,
  COMPRESSION_INVALID: 4,
  STORE_DAMAGED: 4,
  STORE_VERSION: 4,
  INTERRUPTED: 130,
} as const satisfies Record<string, number>;

export type ErrorCode = keyof typeof ERROR_EXIT_STATUS;

/** A place in a source file; lines count from 1, both ends included. */
export interface SourceLocation {
  readonly file: string;
  readonly startLine: number;
  readonly endLine: number;
  /** The word that is meant, where it is known: its line, and columns from 1, the end not included. */
  readonly word?: { readonly line: number; readonly startColumn: number; readonly endColumn: number };
}

export interface BuildErrorOptions {
  readonly cause?: unknown;
  /** The way out: one sentence, printed after the message. */
  readonly hint?: string | undefined;
  readonly location?: SourceLocation | undefined;
  /** Name of the vertex that failed, as the progress display shows it. */
  readonly vertex?: string | undefined;
  /** True where the same request may succeed later; only the registry client retries on it. */
  readonly temporary?: boolean | undefined;
  readonly failedStep?: FailedStep | undefined;
}

/** What stays of a step that failed, for people who look for the reason. */
export interface FailedStep {
  /** Its name for `tsbuild debug`. */
  readonly debugId: string;
}

/**
 * The one error type that crosses folders. The message starts in lower case, names the thing in quotes and holds no
 * secret: redact before constructing.
 */
export class BuildError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly location: SourceLocation | undefined;
  readonly vertex: string | undefined;
  readonly temporary: boolean;
  readonly failedStep: FailedStep | undefined;
  /** Text of the file that `location` names, for the excerpt. */
  source: { readonly name: string; readonly text: string } | undefined;

  constructor(code: ErrorCode, message: string, options: BuildErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'BuildError';
    this.code = code;
    this.hint = options.hint;
    this.location = options.location;
    this.vertex = options.vertex;
    this.temporary = options.temporary ?? false;
    this.failedStep = options.failedStep;
  }

  /** Adds the text that an excerpt of the failing lines is cut from, and the word in it that is meant. */
  withSource(
    source: { readonly name: string; readonly text: string },
    word?: SourceLocation['word'],
  ): BuildError {
    const error = this.with({ location: this.location && word ? { ...this.location, word } : this.location });
    error.source = source;
    return error;
  }

  /** The same error with some of its options, or its message, changed. */
  with({
    message = this.message,
    ...changed
  }: BuildErrorOptions & { readonly message?: string }): BuildError {
    const { cause, hint, location, vertex, temporary, failedStep } = this;
    const options = { cause, hint, location, vertex, temporary, failedStep, ...changed };
    const error = new BuildError(this.code, message, options);
    error.source = this.source;
    if (this.stack) error.stack = this.stack;
    return error;
  }
}

/** The end that a signal asked for; `tsbuild run` hands it on to its program. */
export class Interruption extends BuildError {
  constructor(readonly signalName: NodeJS.Signals) {
    super('INTERRUPTED', `interrupted by ${signalName}`);
  }
}

/** What a build that keeps going ends with when more than one step failed, in the order of their failing. */
export class StepFailures extends BuildError {
  readonly failures: readonly BuildError[];

  constructor(failures: readonly BuildError[]) {
    super('STEPS_FAILED', `${failures.length} steps failed`);
    this.failures = failures;
  }
}

/** What was thrown first, where the end of something that was in use has failed after it. */
export function firstThrown(error: unknown): unknown {
  let first = error;
  while (first instanceof Error && first.name === 'SuppressedError')
    first = (first as Error & { suppressed: unknown }).suppressed;
  return first;
}

/** Exit status for anything that was thrown. */
export function exitStatusOf(error: unknown): number {
  return error instanceof BuildError ? ERROR_EXIT_STATUS[error.code] : 1;
}

interface Place {
  readonly location?: SourceLocation | undefined;
  readonly vertex?: string | undefined;
}

/**
 * Gives the error that was thrown first the vertex and source location it lacks; the innermost location wins. What is no BuildError
 * becomes one with code INTERNAL, or TOO_MANY_OPEN_FILES, and the original as cause.
 */
export function locateError(thrown: unknown, where: Place): BuildError {
  const error = firstThrown(thrown);
  if (!(error instanceof BuildError)) return unexpectedError(error, where);
  if (
    (error.location ?? where.location) === error.location &&
    (error.vertex ?? where.vertex) === error.vertex
  )
    return error;
  return error.with({
    location: error.location ?? where.location,
    vertex: error.vertex ?? where.vertex,
  });
}

/** Whether this process, or the machine, has as many files open as it may: what was to be done is not at fault. */
export function isOpenFilesLimit(error: unknown): error is NodeJS.ErrnoException {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'EMFILE' || code === 'ENFILE';
}

function unexpectedError(error: unknown, where: Place): BuildError {
  const message = error instanceof Error ? error.message : String(error);
  if (!isOpenFilesLimit(error)) return new BuildError('INTERNAL', message, { cause: error, ...where });
  const [whose, hint] =
    error.code === 'EMFILE'
      ? [
          'tsbuild',
          'raise the limit that "ulimit -Hn" shows (1024 is enough for most builds), or use --jobs=1',
        ]
      : ['the machine', 'raise the limit that "sysctl fs.file-max" shows'];
  return new BuildError('TOO_MANY_OPEN_FILES', `${whose} has as many files open as it may: ${message}`, {
    cause: error,
    hint,
    ...where,
  });
}

/** Throws the signal's reason when it is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw signal.reason;
}

/** Comparing costs the product of the lengths, for each candidate. */
const LONGEST_COMPARED = 200;
const MOST_COMPARED = 1000;

/** The candidate nearest to `name` by edit distance, when it is near enough to be a typing error. */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  let compared = 0;
  if (name.length > LONGEST_COMPARED) return undefined;
  for (const candidate of candidates) {
    if (candidate.length > LONGEST_COMPARED) continue;
    if (++compared > MOST_COMPARED) break;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Damerau-Levenshtein distance (adjacent transpositions count one). */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min(previous[j]! + 1, current[j - 1]! + 1, previous[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        distance = Math.min(distance, beforePrevious[j - 2]! + 1);
      }
      current.push(distance);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length]!;
}
