import { BuildError } from '../errors.js';
import { findFilesThatTell } from './file-search.js';
import type { SecretForm } from './secret-forms.js';
import type { SecretSearch } from './secret-vault.js';
import { StreamSearch } from './stream-search.js';

/** What happens when a secret is found where it would stay: the build fails, goes on with a warning, or nobody looks. */
export type SecretScanMode = 'error' | 'warn' | 'off';

const MOST_SHOWN = 10;

/** One entry of an archive, with the place of its bytes. */
interface ScannedEntry {
  readonly path: string;
  readonly offset?: number | undefined;
  readonly size: number;
}

/** Looks for secrets in what a build keeps. Findings never hold a value. */
export class LeakCheck {
  readonly #mode: Exclude<SecretScanMode, 'off'>;
  readonly #search: () => SecretSearch | undefined;
  readonly #warnings = new Map<string, string>();

  /** @param search asked when something is first looked at */
  constructor(mode: Exclude<SecretScanMode, 'off'>, search: () => SecretSearch | undefined) {
    this.#mode = mode;
    this.#search = search;
  }

  /** A check of one new layer, which sees its tar pass by; undefined where there is nothing to look for. */
  openLayer(): LayerScan | undefined {
    const search = this.#search();
    if (!search) return undefined;
    const stream = new StreamSearch(search.search);
    return {
      add: (part) => stream.add(part),
      finish: (entries, diffId) => {
        const findings = stream.matches.map(
          ({ at, pattern }) => `${nameOf(search.forms[pattern]!)} in "/${pathAt(entries, at)}"`,
        );
        this.#report([...new Set(findings)], diffId);
      },
    };
  }

  /** Looks at every text of a JSON value. @param what how a message calls it, such as `the image's config` */
  checkJson(value: unknown, what: string, place?: string): void {
    const search = this.#search();
    if (!search) return;
    const findings: string[] = [];
    visitTexts(value, '', (text, place) => {
      const match = search.search.find(Buffer.from(text));
      if (match)
        findings.push(
          `${nameOf(search.forms[match.pattern]!)} in ${what} at ${place.replace(/^(\[\d+\])?\.?/, '')}`,
        );
    });
    this.#report(findings, what, place);
  }

  /** Looks at the files below a directory and their names. @param what how a message calls it */
  checkDirectory(directory: string, what: string): void {
    const search = this.#search();
    if (!search) return;
    const found = findFilesThatTell(directory, search);
    this.#report(
      found.map(({ path, pattern }) => `${nameOf(search.forms[pattern]!)} in "${path}" of ${what}`),
      what,
      'the cache',
    );
  }

  /** What was found under that name, once, where it is only warned of. */
  takeWarning(name: string): string | undefined {
    const warning = this.#warnings.get(name);
    this.#warnings.delete(name);
    return warning;
  }

  /** @throws SECRET_LEAKED */
  #report(findings: readonly string[], name: string, place = 'the image'): void {
    if (findings.length === 0) return;
    const shown = findings.slice(0, MOST_SHOWN);
    if (findings.length > MOST_SHOWN) shown.push(`… ${findings.length - MOST_SHOWN} more`);
    const message = `${shown.join('; ')} would stay in ${place}`;
    if (this.#mode === 'warn') {
      this.#warnings.set(name, message);
      return;
    }
    throw new BuildError('SECRET_LEAKED', message, {
      hint: 'read the secret where it is mounted, in the step that needs it, and write it nowhere; --secret-scan=warn builds nevertheless',
    });
  }
}

/** Sees the bytes of one layer. `finish` throws SECRET_LEAKED before the layer exists. */
export interface LayerScan {
  add(part: Uint8Array): void;
  finish(entries: readonly ScannedEntry[], diffId: string): void;
}

function nameOf({ secret, form }: SecretForm): string {
  return `secret "${secret}"${form === 'plain' ? '' : ` (${form})`}`;
}

/** The entry whose bytes, or whose header, hold the position. */
function pathAt(entries: readonly ScannedEntry[], at: number): string {
  const next = entries.find(({ offset, size }) => offset !== undefined && at < offset + size);
  return (next ?? entries.at(-1))?.path ?? '';
}

/** `.Env[2] (TOKEN)`, `.Labels.version`: names of variables, never values. */
function visitTexts(value: unknown, place: string, visit: (text: string, place: string) => void): void {
  if (typeof value === 'string') {
    const name = /\.Env\[\d+\]$/.test(place) ? /^[^=]*/.exec(value)![0] : '';
    visit(value, name === '' ? place : `${place} (${name})`);
  } else if (Array.isArray(value)) {
    value.forEach((item, i) => visitTexts(item, `${place}[${i}]`, visit));
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      visit(key, `${place} (a name)`);
      visitTexts(item, `${place}.${key}`, visit);
    }
  }
}
