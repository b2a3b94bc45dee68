import { BuildError, ERROR_EXIT_STATUS, StepFailures } from '../errors.js';
import { redactUrls } from '../secrets/redact-text.js';
import type { Paint } from './paint.js';
import { visibleLine, visibleText } from './visible.js';

const CONTEXT_LINES = 2;
const LONGEST_LINE = 1000;

/** An error for people: message, causes, the excerpt of the Dockerfile, the way out, the code. Ends in a newline. */
export function formatError(error: unknown, paint: Paint, debug = false): string {
  if (!(error instanceof BuildError)) {
    const message =
      error instanceof Error ? (debug ? (error.stack ?? error.message) : error.message) : String(error);
    return redactUrls(`${paint.red('error:')} ${visibleText(message)}\n`);
  }
  const each =
    error instanceof StepFailures
      ? error.failures.map((failure) => `${formatError(failure, paint, debug)}\n`).join('')
      : '';
  const lines = [`${each}${paint.red('error:')} ${visibleText(error.message)}`];
  if (error.vertex) lines.push(`  in ${visibleLine(error.vertex)}`);
  lines.push(...causes(error).map((message) => `  caused by: ${visibleText(message)}`));
  const excerpt = excerptOf(error, paint);
  if (excerpt) lines.push('', excerpt);
  if (error.hint) lines.push(`${paint.cyan('hint:')} ${visibleText(error.hint)}`);
  if (error.code !== 'INTERRUPTED')
    lines.push(
      paint.dim(
        `[${error.code}, exit status ${ERROR_EXIT_STATUS[error.code]}; docs/errors.md#${error.code.toLowerCase()}]`,
      ),
    );
  if (error.failedStep)
    lines.push(`look around where it failed: ${paint.bold(`tsbuild debug ${error.failedStep.debugId}`)}`);
  if (debug && error.stack) lines.push('', error.stack);
  return redactUrls(`${lines.join('\n')}\n`);
}

/** Messages of the causes that say something new. */
function causes(error: BuildError): string[] {
  const messages: string[] = [];
  let said = error.message;
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    if (cause.message === '' || said.includes(cause.message)) continue;
    messages.push(cause.message);
    said += cause.message;
  }
  return messages;
}

/** The failing lines marked with `>>>`, and two lines around them. */
export function excerptOf(
  { location, source }: Pick<BuildError, 'location' | 'source'>,
  paint: Paint,
): string | undefined {
  if (!location || !source) return undefined;
  const lines = source.text.split('\n');
  const first = Math.max(1, location.startLine - CONTEXT_LINES);
  const last = Math.min(
    lines.at(-1) === '' ? lines.length - 1 : lines.length,
    location.endLine + CONTEXT_LINES,
  );
  const width = String(last).length;
  const rows = [`${visibleLine(location.file)}:${location.startLine}`, '--------------------'];
  for (let number = first; number <= last; number++) {
    const isFailing = number >= location.startLine && number <= location.endLine;
    const row = `${String(number).padStart(width + 1)} | ${isFailing ? '>>> ' : '    '}${visibleText(lines[number - 1] ?? '').slice(0, LONGEST_LINE)}`;
    rows.push(isFailing ? paint.bold(row) : row);
    const { word } = location;
    if (word?.line !== number) continue;
    const blanks = ' '.repeat(width + 8 + word.startColumn - 1);
    rows.push(paint.red(`${blanks}${'^'.repeat(Math.max(1, word.endColumn - word.startColumn))}`));
  }
  rows.push('--------------------');
  return rows.join('\n');
}
