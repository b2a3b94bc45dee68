import { expandWord } from './expansion.js';

export type HeredocStart = {
  readonly name: string;
  readonly fileDescriptor: number;
  readonly expand: boolean;
  readonly chomp: boolean;
};

const HEREDOC = /^(\d*)<<(-?)\s*([^<]*)$/s;
const none = () => undefined;

/** The heredocs that a joined line opens, in order. */
export function heredocsOf(line: string): HeredocStart[] {
  if (!line.includes('<<')) return [];
  let words: readonly string[];
  try {
    words = expandWord(line, {
      env: none,
      escape: '\\',
      rawQuotes: true,
      rawEscapes: true,
      skipUnset: true,
    }).words;
  } catch {
    return [];
  }
  return words.flatMap((word) => parseHeredocWord(word) ?? []);
}

/** `<<EOF`, `3<<-"EOF"`; undefined for any other word. */
export function parseHeredocWord(word: string): HeredocStart | undefined {
  const match = HEREDOC.exec(word);
  const rest = match?.[3];
  if (!match || !rest) return undefined;
  const options = { env: none, escape: '\\', skipUnset: true } as const;
  const plain = expandWord(rest, options).words;
  if (plain.length !== 1) return undefined;
  const raw = expandWord(rest, { ...options, rawQuotes: true, rawEscapes: true }).words;
  return {
    name: plain[0]!,
    fileDescriptor: Number(match[1] || 0),
    expand: raw[0] === plain[0],
    chomp: match[2] === '-',
  };
}

/** The body with the leading tabs of `<<-` gone. */
export function chompTabs(content: string): string {
  return content.replace(/^\t+/gm, '');
}
