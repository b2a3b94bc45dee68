import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../../src/config.js';
import { codeOf } from '../kit/code-of.js';
import { tmpDir } from '../kit/tmp-dir.js';

function configFile(text: string): string {
  const file = join(tmpDir(), 'config.yaml');
  writeFileSync(file, text);
  return file;
}

/** Each alias names nine of the one before it. */
function aliasBomb(): string {
  const lines = Array.from({ length: 12 }, (_, i) => {
    const items = i === 0 ? 'x' : Array.from({ length: 9 }, () => `*a${i - 1}`).join(', ');
    return `  a${i}: &a${i} [${items}]`;
  });
  return `registries:\n${lines.join('\n')}\n`;
}

describe('the config file', () => {
  it('may be empty', async () => {
    expect(await loadConfig(configFile(''))).to.deep.equal({ registries: {}, cache: {} });
  });

  for (const [what, text] of [
    ['huge', `# ${'x'.repeat(2 << 20)}\n`],
    ['deep', `registries: ${'['.repeat(60_000)}`],
    ['deep by its mappings', `registries: ${'{a: '.repeat(16_000)}`],
    ['deep by its lists', `registries:\n  ${'- '.repeat(30_000)}`],
    ['a bomb of aliases', aliasBomb()],
    ['of another type', '- registries\n'],
    ['with mirrors that are a mapping', 'registries: { x: { mirrors: { a: 1 } } }\n'],
    ['with an unknown key', '__proto__: { cache: 1 }\n'],
    ['no text', '\u0000\u0001'],
  ] as const) {
    it(`that is ${what} is refused soon`, async () => {
      const started = performance.now();
      expect(await codeOf(loadConfig(configFile(text)))).to.equal('CONFIG_INVALID');
      expect(performance.now() - started).to.be.lessThan(10_000);
    });
  }

  it('that is a fifo is not waited for', async () => {
    const file = join(tmpDir(), 'fifo');
    execFileSync('mkfifo', [file]);
    expect(await codeOf(loadConfig(file))).to.equal('CONFIG_INVALID');
  });
});
