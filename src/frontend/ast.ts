import type { Instruction } from 'dockerfile-ast';
import type { SourceLocation } from '../errors.js';

type Range = NonNullable<ReturnType<Instruction['getRange']>>;

/**
 * Finds the first of `words` among the words of the instruction at `location`, for the caret under an excerpt. The syntax
 * tree gives ranges only; what instructions mean comes from our own parser. Loaded on the way to an error, never before.
 */
export async function locateWord(
  text: string,
  location: SourceLocation,
  words: readonly string[],
): Promise<SourceLocation['word']> {
  if (words.length === 0) return undefined;
  const { DockerfileParser } = await import('dockerfile-ast');
  try {
    const instructions = DockerfileParser.parse(text).getInstructions();
    const found = instructions.find(
      (instruction) => instruction.getRange().start.line === location.startLine - 1,
    );
    return found && wordOf(found, words);
  } catch {
    // It refuses some files that BuildKit takes; the excerpt is then without a caret.
    return undefined;
  }
}

function wordOf(instruction: Instruction, words: readonly string[]): SourceLocation['word'] {
  const candidates = [
    { text: instruction.getInstruction(), range: instruction.getInstructionRange() },
    ...flagsOf(instruction),
  ];
  for (const argument of instruction.getArguments())
    candidates.push({ text: argument.getValue(), range: argument.getRange() });
  for (const word of words) {
    const exact =
      candidates.find(({ text }) => text === word) ?? candidates.find(({ text }) => text.includes(word));
    if (exact && exact.range.start.line === exact.range.end.line) return rangeWord(exact.range);
  }
  return undefined;
}

function flagsOf(instruction: Instruction): { text: string; range: Range }[] {
  const flags =
    (instruction as { getFlags?: () => { toString(): string; getRange(): Range }[] }).getFlags?.() ?? [];
  return flags.map((flag) => ({ text: flag.toString(), range: flag.getRange() }));
}

function rangeWord({ start, end }: Range): SourceLocation['word'] {
  return { line: start.line + 1, startColumn: start.character + 1, endColumn: end.character + 1 };
}
