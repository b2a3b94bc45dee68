export { formatBytes } from '../../progress.js';

/** `0.4s`, `75.2s`. */
export function formatSeconds(durationMs: number): string {
  return `${(Math.max(0, durationMs) / 1000).toFixed(1)}s`;
}

/** Cells that a character takes in a terminal. */
function cellsOf(char: string): number {
  const code = char.codePointAt(0)!;
  if (/\p{M}/u.test(char) || code === 0x200d) return 0;
  const isWide =
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd);
  return isWide ? 2 : 1;
}

/** `text` cut to `columns` cells. */
export function fitColumns(text: string, columns: number): string {
  let cells = 0;
  let result = '';
  for (const char of text) {
    cells += cellsOf(char);
    if (cells > columns) return result;
    result += char;
  }
  return result;
}

/** One line of a step's output without what would move the cursor. */
export function sanitizeLine(text: string): string {
  const visible = text.slice(text.lastIndexOf('\r', text.length - 2) + 1);
  return visible
    .replace(/\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)/g, '')
    .replaceAll('\t', '    ')
    .replace(/[\x00-\x1f\x7f]/g, '');
}
