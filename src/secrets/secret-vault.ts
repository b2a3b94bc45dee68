import { readFileSync } from 'node:fs';
import { BuildError } from '../errors.js';
import { ByteSearch } from './byte-search.js';
import { LogMask, maskText } from './log-mask.js';
import { isTooShort, maskedForms, type SecretForm, searchedForms } from './secret-forms.js';

/** Where a secret's value is. */
export type SecretOrigin = { readonly file: string } | { readonly env: string };

/** A search for secrets, and what each of its patterns stands for. */
export interface SecretSearch {
  readonly search: ByteSearch;
  readonly forms: readonly SecretForm[];
}

const MOST_BYTES = 500 * 1024;

/**
 * The secrets of a build. Each is read once, when a step or the first search asks for it, so that a pipe
 * (`--secret id=x,src=<(pass show x)`) serves several steps. With no secret, no search exists and nothing is spent on it.
 */
export class SecretVault {
  readonly #origins: Readonly<Record<string, SecretOrigin>>;
  readonly #maskedToo: readonly (readonly [name: string, value: Buffer])[];
  readonly #values = new Map<string, Buffer>();
  #searched: SecretSearch | undefined;
  #masked: ByteSearch | undefined;

  /** @param masked what is shown to nobody either, and not searched for: passwords of proxies, by a name */
  constructor(
    origins: Readonly<Record<string, SecretOrigin>>,
    masked: readonly (readonly [name: string, value: Buffer])[] = [],
  ) {
    this.#origins = origins;
    this.#maskedToo = masked;
  }

  /** Undefined where the build has none of that name. @throws SECRET_MISSING for a file or variable that is not there */
  read(id: string): Buffer | undefined {
    const known = this.#values.get(id);
    if (known) return known;
    const origin = Object.hasOwn(this.#origins, id) ? this.#origins[id] : undefined;
    if (origin === undefined) return undefined;
    const value = 'env' in origin ? fromEnvironment(id, origin.env) : fromFile(id, origin.file);
    if (value.length > MOST_BYTES) throw missing(id, `it is larger than ${MOST_BYTES} bytes`);
    this.#values.set(id, value);
    return value;
  }

  /** What layers and configs are searched for. */
  search(): SecretSearch | undefined {
    if (!this.#searched) {
      const forms = this.#all().flatMap(([id, value]) => searchedForms(id, value));
      if (forms.length === 0) return undefined;
      this.#searched = { forms, search: new ByteSearch(forms.map(({ bytes }) => bytes)) };
    }
    return this.#searched;
  }

  /** A mask for one stream of output. */
  logMask(): LogMask | undefined {
    const search = this.#maskSearch();
    return search && new LogMask(search);
  }

  /** A text for people without secrets. */
  mask(text: string): string {
    const search = this.#maskSearch();
    return search ? maskText(text, search) : text;
  }

  /** Names of secrets that are too short to be looked for. */
  tooShort(): string[] {
    return this.#all().flatMap(([id, value]) => (isTooShort(value) ? [id] : []));
  }

  #maskSearch(): ByteSearch | undefined {
    if (!this.#masked) {
      const all = [...this.#all(), ...this.#maskedToo];
      const patterns = all.flatMap(([id, value]) => maskedForms(id, value).map(({ bytes }) => bytes));
      if (patterns.length > 0) this.#masked = new ByteSearch(patterns);
    }
    return this.#masked;
  }

  /** What cannot be read is no secret that could leak; the step that needs it says so. */
  #all(): [string, Buffer][] {
    for (const id of Object.keys(this.#origins)) {
      try {
        this.read(id);
      } catch (error) {
        if (!(error instanceof BuildError)) throw error;
      }
    }
    return [...this.#values];
  }
}

function fromEnvironment(id: string, name: string): Buffer {
  const value = process.env[name];
  if (value === undefined) throw missing(id, `the variable "${name}" is not set`);
  return Buffer.from(value);
}

function fromFile(id: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw missing(id, `the file "${file}" cannot be read`, error);
  }
}

function missing(id: string, why: string, cause?: unknown): BuildError {
  return new BuildError('SECRET_MISSING', `secret "${id}": ${why}`, {
    cause,
    hint: 'check the --secret flag',
  });
}
