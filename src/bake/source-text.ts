import { BuildError, type ErrorCode } from '../errors.js';

/** A file as it was read, for places in errors. */
export interface SourceText {
  readonly name: string;
  readonly text: string;
}

/** Offsets into a {@link SourceText}, the end not included. */
export interface Span {
  readonly source: SourceText;
  readonly start: number;
  readonly end: number;
}

/** Line and column, both from 1. */
export function positionOf({ source, start }: Span): { line: number; column: number } {
  const before = source.text.slice(0, start);
  const line = before.split('\n').length;
  return { line, column: start - before.lastIndexOf('\n') };
}

/** An error at a place: its message begins with `file:line:column`, and the excerpt marks the word. */
export function errorAt(
  span: Span,
  message: string,
  { hint, code = 'BAKE_INVALID', cause }: { hint?: string; code?: ErrorCode; cause?: unknown } = {},
): BuildError {
  const { source, start, end } = span;
  const { line, column } = positionOf(span);
  const lineEnd = source.text.indexOf('\n', start);
  const last = Math.min(end, lineEnd < 0 ? source.text.length : lineEnd);
  const location = { file: source.name, startLine: line, endLine: line };
  const word = { line, startColumn: column, endColumn: column + Math.max(1, last - start) };
  return new BuildError(code, `${source.name}:${line}:${column}: ${message}`, {
    hint,
    location,
    cause,
  }).withSource(source, word);
}
