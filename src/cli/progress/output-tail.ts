import { TailBuffer } from '../../worker/ops/tail-buffer.js';

/** Lines of a failed step's output that are shown once more at the end. */
const SHOWN_LINES = 20;
const KEPT_BYTES = 32 * 1024;

/** The end of a step's output, for the case that it fails; bounded, since the log file has all of it. */
export class OutputTail {
  #buffer: TailBuffer | undefined;

  add(data: Uint8Array): void {
    this.#buffer ??= new TailBuffer(KEPT_BYTES);
    this.#buffer.add(data);
  }

  /** The last lines, and whether there were more. */
  lines(): { readonly lines: readonly string[]; readonly isCut: boolean } {
    if (!this.#buffer) return { lines: [], isCut: false };
    const lines = this.#buffer.text().replace(/\n$/, '').split('\n');
    return { lines: lines.slice(-SHOWN_LINES), isCut: this.#buffer.isCut || lines.length > SHOWN_LINES };
  }
}

/** What a failed step said last, between rules, and where the rest is. */
export function failedOutput(name: string, tail: OutputTail, logPath: string | undefined): string {
  const { lines, isCut } = tail.lines();
  if (lines.length === 0) return '';
  const rows = ['------', ` > ${name}:`, ...(isCut ? ['…'] : []), ...lines, '------'];
  if (logPath !== undefined) rows.push(`the whole log: ${logPath}`);
  return `${rows.join('\n')}\n`;
}
