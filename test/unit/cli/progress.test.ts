import { expect } from 'chai';
import { createPaint } from '../../../src/cli/paint.js';
import { fitColumns, formatBytes, sanitizeLine } from '../../../src/cli/progress/format.js';
import { createPlainDisplay } from '../../../src/cli/progress/plain.js';
import { createTtyDisplay } from '../../../src/cli/progress/tty.js';
import type { ProgressEvent } from '../../../src/progress.js';

const log = (digest: string, atMs: number, text: string): ProgressEvent => ({
  kind: 'log',
  digest,
  atMs,
  stream: 1,
  data: Buffer.from(text),
});

/** A step found, one that prints in pieces and fails. */
const EVENTS: readonly ProgressEvent[] = [
  { kind: 'announced', digest: 'a', atMs: 0, name: '[1/2] FROM base', inputs: [] },
  { kind: 'announced', digest: 'b', atMs: 0, name: '[2/2] RUN make', inputs: ['a'] },
  { kind: 'cached', digest: 'a', atMs: 10 },
  { kind: 'started', digest: 'b', atMs: 100 },
  log('b', 350, 'first li'),
  log('b', 400, 'ne\nsecond\x1b[31m red'),
  { kind: 'failed', digest: 'b', atMs: 1300, message: 'exit code: 2' },
];

describe('plain progress', () => {
  it('prints whole lines with their time, and the end of each step', () => {
    let text = '';
    const display = createPlainDisplay((part) => (text += part), createPaint(false));
    for (const event of EVENTS) display.show(event);
    expect(text).to.equal(
      '#1 [1/2] FROM base\n#1 CACHED\n\n#2 [2/2] RUN make\n#2 0.300 first line\n#2 1.200 second\x1b[31m red\n#2 ERROR: exit code: 2\n',
    );
  });
});

describe('progress on a terminal', () => {
  it('ends with every step once and the whole output of the failed one', () => {
    let text = '';
    let nowMs = 0;
    const display = createTtyDisplay({
      write: (part) => (text += part),
      paint: createPaint(false),
      columns: () => 40,
      rows: () => 20,
      now: () => nowMs,
    });
    for (const event of EVENTS) {
      nowMs = event.atMs;
      display.show(event);
    }
    display.close();
    const last = text.slice(text.lastIndexOf('[+] Building'));
    expect(last).to.equal(
      [
        '[+] Building 1.3s (2/2) FINISHED',
        ' => CACHED [1/2] FROM base         0.0s',
        ' => ERROR [2/2] RUN make           1.2s',
        '------',
        ' > [2/2] RUN make:',
        'first line',
        'second\x1b[31m red',
        '------',
        '',
      ].join('\n'),
    );
  });
});

describe('text for a terminal', () => {
  it('loses what would move the cursor', () => {
    expect(sanitizeLine('a\x1b[2Kb\x1b]0;title\x07c\td\x08')).to.equal('abc    d');
    expect(sanitizeLine('10%\r50%\r100%')).to.equal('100%');
  });

  it('is cut by cells, not by characters', () => {
    expect(fitColumns('日本語', 4)).to.equal('日本');
  });

  it('shows sizes as Docker does', () => {
    expect([512, 1500, 2_130_000, 5e9].map(formatBytes)).to.deep.equal([
      '512B',
      '1.50kB',
      '2.13MB',
      '5.00GB',
    ]);
  });
});
