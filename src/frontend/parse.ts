import { BuildError, locateError } from '../errors.js';
import { heredocsOf } from './heredoc.js';
import type { ParsedDockerfile, ParsedHeredoc, ParsedInstruction } from './instruction-line.js';
import { lexArguments, splitFlags } from './lexers.js';

const LONGEST_LINE = 65535;
const HEREDOC_KEYWORDS = new Set(['ADD', 'COPY', 'RUN']);
const DIRECTIVE = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)$/;
const BLANKS = '\t\v\f\r \u0085\u00a0';
const DEEPEST_CHAIN = 10;
const DIRECTIVE_NAMES = new Set(['syntax', 'escape', 'check']);

/**
 * Cuts a Dockerfile into instructions exactly as BuildKit's parser does: directives, comments, continuations, heredocs,
 * flags, JSON and shell forms. Unknown keywords are kept; what they mean is checked later.
 * @throws DOCKERFILE_SYNTAX with the place
 */
export function parseDockerfile(text: string, fileName: string): ParsedDockerfile {
  const lines = splitLines(text.startsWith('\ufeff') ? text.slice(1) : text);
  const { directives, firstLine } = readDirectives(lines, fileName);
  const escape = (directives['escape'] ?? '\\') as '\\' | '`';
  const reader = new InstructionReader(lines, fileName, escape, firstLine);
  const instructions: ParsedInstruction[] = [];
  for (let next = reader.next(); next; next = reader.next()) instructions.push(next);
  if (instructions.length === 0) {
    throw new BuildError('DOCKERFILE_SYNTAX', 'file with no instructions', {
      hint: 'a Dockerfile starts with FROM',
      location: { file: fileName, startLine: 1, endLine: Math.max(1, lines.length) },
    });
  }
  return {
    name: fileName,
    escape,
    directives,
    instructions,
    emptyContinuationLines: reader.emptyContinuationLines,
  };
}

/** Lines with their ends. */
function splitLines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

function readDirectives(
  lines: readonly string[],
  file: string,
): { directives: Record<string, string>; firstLine: number } {
  const directives: Record<string, string> = {};
  let line = 0;
  for (; line < lines.length; line++) {
    const match = DIRECTIVE.exec(trimStart(lines[line]!.replace(/\r?\n$/, '')).trimEnd());
    const name = match?.[1]!.toLowerCase();
    if (!match || !DIRECTIVE_NAMES.has(name!)) break;
    const location = { file, startLine: line + 1, endLine: line + 1 };
    if (directives[name!] !== undefined) {
      throw new BuildError('DOCKERFILE_SYNTAX', `only one ${name} parser directive can be used`, {
        location,
      });
    }
    if (name === 'escape' && match[2] !== '\\' && match[2] !== '`') {
      throw new BuildError(
        'DOCKERFILE_SYNTAX',
        `invalid escape token '${match[2]}' does not match \` or \\`,
        { location },
      );
    }
    directives[name!] = match[2]!;
  }
  return { directives, firstLine: line };
}

class InstructionReader {
  readonly emptyContinuationLines: number[] = [];
  readonly #lines: readonly string[];
  readonly #file: string;
  readonly #escape: '\\' | '`';
  readonly #continuation: RegExp;
  #at: number;
  #comments: string[] = [];

  constructor(lines: readonly string[], file: string, escape: '\\' | '`', firstLine: number) {
    this.#lines = lines;
    this.#file = file;
    this.#escape = escape;
    const token = escape === '\\' ? '\\\\' : '`';
    this.#continuation = new RegExp(`([^${token}])${token}[ \\t]*$|^${token}[ \\t]*$`, 's');
    this.#at = firstLine;
  }

  /** The next instruction, or undefined at the end of the file. */
  next(): ParsedInstruction | undefined {
    while (this.#at < this.#lines.length) {
      const startLine = this.#at + 1;
      const raw = this.#read();
      const line = trimStart(raw);
      if (line.startsWith('#')) {
        // As BuildKit: the first character goes, also where it is a blank before the '#'.
        this.#addComment(raw);
        continue;
      }
      const { text, ended } = this.#cut(line);
      if (ended && text === '') continue;
      return this.#instruction(ended ? text : text + this.#continued(), startLine);
    }
    return undefined;
  }

  #addComment(line: string): void {
    const comment = line.slice(1).trim();
    if (comment === '') this.#comments = [];
    else this.#comments.push(comment);
  }

  /** What the following lines add, comments and empty lines left out. */
  #continued(): string {
    let joined = '';
    let hasEmpty = false;
    for (let ended = false; !ended && this.#at < this.#lines.length;) {
      const line = this.#read();
      if (trimStart(line).startsWith('#')) continue;
      if (trimStart(line) === '') {
        hasEmpty = true;
        continue;
      }
      const cut = this.#cut(line);
      joined += cut.text;
      ended = cut.ended;
    }
    if (hasEmpty) this.emptyContinuationLines.push(this.#at);
    return joined;
  }

  #cut(line: string): { text: string; ended: boolean } {
    if (!this.#continuation.test(line)) return { text: line, ended: true };
    return { text: line.replace(this.#continuation, '$1'), ended: false };
  }

  #instruction(line: string, startLine: number): ParsedInstruction {
    const location = () => ({ file: this.#file, startLine, endLine: this.#at });
    try {
      const { keyword, flags, args, json } = lexInstruction(line, this.#escape);
      const heredocs = canHoldHeredoc(line, keyword, json) ? this.#heredocs(line) : [];
      const comments = this.#comments;
      this.#comments = [];
      return { keyword, flags, args, json, heredocs, original: line, comments, location: location() };
    } catch (error) {
      throw locateError(error, { location: location() });
    }
  }

  #heredocs(line: string): ParsedHeredoc[] {
    return heredocsOf(line).map((start) => {
      let content = '';
      while (this.#at < this.#lines.length) {
        const raw = this.#lines[this.#at++]!;
        const bare = raw.replace(/[\r\n]+$/, '');
        if ((start.chomp ? bare.replace(/^\t+/, '') : bare) === start.name) return { ...start, content };
        content += raw;
      }
      throw new BuildError('DOCKERFILE_SYNTAX', 'unterminated heredoc', {
        hint: `end it with a line that has only "${start.name}"`,
      });
    });
  }

  /** The next line without its end. */
  #read(): string {
    const raw = this.#lines[this.#at++]!;
    if (Buffer.byteLength(raw) > LONGEST_LINE) {
      throw new BuildError(
        'DOCKERFILE_SYNTAX',
        `dockerfile line greater than maximum allowed size of ${LONGEST_LINE}`,
        {
          location: { file: this.#file, startLine: this.#at, endLine: this.#at },
          hint: 'move the text into a file and COPY it, or use a heredoc',
        },
      );
    }
    return raw.replace(/\r?\n$/, '');
  }
}

type LexedLine = Pick<ParsedInstruction, 'keyword' | 'flags' | 'args' | 'json'>;

/** One joined line: keyword, flags, arguments; of ONBUILD those of its trigger, with the trigger's keyword before them. */
function lexInstruction(line: string, escape: '\\' | '`', depth = 0): LexedLine {
  const match = /^(\S+)(?:\s+(.*))?$/s.exec(trimBlanks(line));
  const keyword = (match?.[1] ?? '').toUpperCase();
  const { flags, rest } = splitFlags(match?.[2] ?? '');
  const trimmed = trimBlanks(rest);
  if (keyword !== 'ONBUILD') return { keyword, flags, ...lexArguments(keyword, trimmed, escape) };
  if (trimmed === '') return { keyword, flags, args: [], json: false };
  // The second ONBUILD is refused when the instruction is read; a chain of them must not exhaust the stack before.
  if (depth > DEEPEST_CHAIN) throw new BuildError('DOCKERFILE_SYNTAX', 'too many ONBUILD in one instruction');
  const trigger = lexInstruction(trimmed, escape, depth + 1);
  return { keyword, flags, args: [trigger.keyword, ...trigger.flags, ...trigger.args], json: trigger.json };
}

function canHoldHeredoc(line: string, keyword: string, json: boolean): boolean {
  if (json) return false;
  if (keyword !== 'ONBUILD') return HEREDOC_KEYWORDS.has(keyword);
  return HEREDOC_KEYWORDS.has(/^\s*\S+\s+(\S+)/.exec(line)?.[1]?.toUpperCase() ?? '');
}

function trimStart(text: string): string {
  return text.replace(/^[\t\v\f\r \u0085\u00a0]+/, '');
}

/** Not by an expression for the end, which would start anew at each of many blanks. */
function trimBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && BLANKS.includes(text[end - 1]!)) end--;
  return trimStart(text.slice(0, end));
}
