import type { SourceLocation } from '../errors.js';

/** A Dockerfile cut into instructions: the syntax, before any meaning. */
export interface ParsedDockerfile {
  readonly name: string;
  /** The escape character of the `# escape=` directive. */
  readonly escape: '\\' | '`';
  /** Directives by lower-case name: `syntax`, `escape`, `check`. */
  readonly directives: Readonly<Record<string, string>>;
  readonly instructions: readonly ParsedInstruction[];
  /** Last line (from 1) of each instruction that has empty lines in a continuation. */
  readonly emptyContinuationLines: readonly number[];
}

export interface ParsedInstruction {
  /** Upper case. */
  readonly keyword: string;
  /** Words that start with `--` right after the keyword, quotes removed. */
  readonly flags: readonly string[];
  /**
   * By instruction: words (COPY, EXPOSE, …), one text (RUN in shell form, USER, …), or triples of name, value and
   * separator (ENV, LABEL), where the separator is '' in the legacy form.
   */
  readonly args: readonly string[];
  /** Whether `args` came from a JSON array. */
  readonly json: boolean;
  readonly heredocs: readonly ParsedHeredoc[];
  /** The joined line without comments and continuations. */
  readonly original: string;
  /** Comment lines directly above. */
  readonly comments: readonly string[];
  readonly location: SourceLocation;
}

export interface ParsedHeredoc {
  readonly name: string;
  readonly fileDescriptor: number;
  /** False when any part of the delimiter is quoted. */
  readonly expand: boolean;
  /** `<<-`: leading tabs are stripped. */
  readonly chomp: boolean;
  /** Lines with their ends, tabs still there. */
  readonly content: string;
}
