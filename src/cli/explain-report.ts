import { BuildError } from '../errors.js';
import type { OutputSpec } from '../exporter/output-spec.js';
import type { ProgressEvent } from '../progress.js';

/** Collects what `--explain=json` prints: one object for each step, in the order of the Dockerfile. */
export class ExplainReport {
  readonly #rows = new Map<string, Record<string, unknown>>();

  hear(event: ProgressEvent): void {
    if (event.kind === 'announced') {
      const { name: step, stage, location } = event;
      const line = location?.startLine;
      this.#rows.set(event.digest, {
        step,
        ...(stage === undefined ? {} : { stage }),
        ...(line === undefined ? {} : { line }),
      });
      return;
    }
    const row = 'digest' in event && event.digest !== undefined ? this.#rows.get(event.digest) : undefined;
    if (!row) return;
    if (event.kind === 'explained') Object.assign(row, { text: event.text, explanation: event.explanation });
    else if (['cached', 'done', 'failed', 'canceled'].includes(event.kind)) row['state'] = event.kind;
  }

  /** JSON for standard output. */
  text(): string {
    const steps = [...this.#rows.values()].filter(({ explanation }) => explanation !== undefined);
    return `${JSON.stringify({ steps }, null, 2)}\n`;
  }
}

/** @throws USAGE for another format than json, and where the image itself goes to standard output */
export function createExplainReport(
  format: string | undefined,
  outputs: readonly OutputSpec[],
): ExplainReport | undefined {
  if (format === undefined) return undefined;
  if (format !== 'json')
    throw new BuildError('USAGE', `--explain=${format} is not known`, {
      hint: 'use --explain or --explain=json',
    });
  if (outputs.some((output) => 'dest' in output && output.dest === '-'))
    throw new BuildError('USAGE', '--explain=json and the image both go to standard output', {
      hint: 'write the image to a file: -o type=…,dest=FILE',
    });
  return new ExplainReport();
}
