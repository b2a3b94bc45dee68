import { nearestName, type SourceLocation } from '../../errors.js';
import { isReference } from '../../oci/reference.js';
import type { ParsedDockerfile, ParsedInstruction } from '../instruction-line.js';
import type { Stage } from '../stages.js';
import type { Linter } from './linter.js';

/** Rules that need no variable: casing, names of stages, continuations, comments. */
export function lintFile(parsed: ParsedDockerfile, stages: readonly Stage[], linter: Linter): void {
  for (const line of parsed.emptyContinuationLines)
    linter.report('NoEmptyContinuation', 'Empty continuation line', at(parsed.name, line));
  const firstFrom = parsed.instructions.findIndex(({ keyword }) => keyword === 'FROM');
  lintCasing(parsed.instructions.slice(Math.max(0, firstFrom)), linter);
  for (const instruction of parsed.instructions) {
    lintFrom(instruction, linter);
    lintDescription(instruction, linter);
    lintPairs(instruction, linter);
  }
  lintStageNames(stages, linter);
}

function at(file: string, line: number): SourceLocation {
  return { file, startLine: line, endLine: line };
}

/** The keyword as written. */
export function writtenKeyword(original: string): string {
  return /^\s*(\S+)/.exec(original)?.[1] ?? '';
}

function isLower(text: string): boolean {
  return text === text.toLowerCase();
}

function isUpper(text: string): boolean {
  return text === text.toUpperCase();
}

function lintCasing(instructions: readonly ParsedInstruction[], linter: Linter): void {
  const keywords = instructions.map(({ original }) => writtenKeyword(original));
  const lower = keywords.filter(isLower).length;
  const upper = keywords.filter((keyword) => !isLower(keyword) && isUpper(keyword)).length;
  const wanted = lower > upper ? 'lowercase' : 'uppercase';
  const isRight = lower > upper ? isLower : isUpper;
  keywords.forEach((keyword, i) => {
    if (isRight(keyword)) return;
    linter.report(
      'ConsistentInstructionCasing',
      `Command '${keyword}' should match the case of the command majority (${wanted})`,
      instructions[i]!.location,
    );
  });
}

function lintFrom({ keyword, original, args, location }: ParsedInstruction, linter: Linter): void {
  if (keyword !== 'FROM' || args.length < 3) return;
  const from = writtenKeyword(original);
  const as = args[1]!;
  const isSame = (isLower(from) && isLower(as)) || (isUpper(from) && isUpper(as));
  if ((isLower(from) || isUpper(from)) && !isSame)
    linter.report('FromAsCasing', `'${as}' and '${from}' keywords' casing do not match`, location);
  if (!isLower(args[2]!))
    linter.report('StageNameCasing', `Stage name '${args[2]}' should be lowercase`, location);
}

/** `# NAME text` above FROM … AS NAME or ARG NAME. */
function lintDescription({ keyword, args, comments, location }: ParsedInstruction, linter: Linter): void {
  const described = comments.filter((comment) => !/^check\s*=/i.test(comment)).at(-1);
  if (described === undefined) return;
  const names =
    keyword === 'FROM'
      ? args.slice(2, 3).map((name) => name.toLowerCase())
      : keyword === 'ARG'
        ? args.map((arg) => arg.split('=')[0]!)
        : [];
  if (names.length === 0 || names.includes(described.split(' ')[0]!)) return;
  linter.report(
    'InvalidDefinitionDescription',
    `Comment for ${keyword} should follow the format: \`# ${names.length > 1 ? '<arg_key>' : names[0]} <description>\``,
    location,
  );
}

function lintPairs({ keyword, original, args, location }: ParsedInstruction, linter: Linter): void {
  if ((keyword !== 'ENV' && keyword !== 'LABEL') || args.length !== 3 || args[2] !== '') return;
  linter.report(
    'LegacyKeyValueFormat',
    `"${writtenKeyword(original)} key=value" should be used instead of legacy "${writtenKeyword(original)} key value" format`,
    location,
  );
}

function lintStageNames(stages: readonly Stage[], linter: Linter): void {
  const names = new Set<string>();
  for (const { from } of stages) {
    const name = from.stageName;
    if (name === undefined) continue;
    if (name === 'scratch' || name === 'context')
      linter.report(
        'ReservedStageName',
        `Stage name should not use the same name as reserved stage "${name}"`,
        from.location,
      );
    if (names.has(name))
      linter.report(
        'DuplicateStageName',
        `Duplicate stage name "${name}", stage names should be unique`,
        from.location,
      );
    names.add(name);
  }
}

/** `image` is the base as it is without build arguments. */
export function lintDefaultBase(
  written: string,
  image: string,
  location: SourceLocation,
  linter: Linter,
): void {
  if (isReference(image)) return;
  linter.report(
    'InvalidDefaultArgInFrom',
    `Default value for ARG ${written} results in empty or invalid base image name`,
    location,
  );
}

/** ` (did you mean x?)`, or nothing. */
export function suggestion(name: string, known: Iterable<string>, prefix = ''): string {
  const nearest = nearestName(name, known);
  return nearest === undefined ? '' : ` (did you mean ${prefix}${nearest}?)`;
}
