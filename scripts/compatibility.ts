import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { FEATURES } from '../test/compatibility/features.js';

/**
 * Writes docs/compatibility.md from what the tests say: `npm run compatibility`. Runs the tests that a feature names, of
 * whatever suite; with a file as argument, reads that report of mocha's JSON reporter. A test that was skipped shows nothing.
 */
const project = join(import.meta.dirname, '..');
const page = join(project, 'docs/compatibility.md');

interface Test {
  readonly fullTitle: string;
  readonly file: string;
}

interface Report {
  readonly tests: readonly Test[];
  readonly passes: readonly Test[];
  readonly failures: readonly Test[];
}

function mocha(files: readonly string[], ...options: string[]): Report {
  const directory = mkdtempSync(join(tmpdir(), 'tsbuild-compatibility-'));
  try {
    const file = join(directory, 'report.json');
    const args = ['mocha', ...files, '--reporter', 'json', '--reporter-option', `output=${file}`, ...options];
    spawnSync('npx', args, { cwd: project, stdio: ['ignore', 'ignore', 'inherit'] });
    return JSON.parse(readFileSync(file, 'utf8')) as Report;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Only their files: others prepare much in `before` that nobody asks about. */
function runTests(): Report {
  const patterns = FEATURES.flatMap(({ tests }) => tests);
  const { tests } = mocha(['test/**/*.test.ts'], '--dry-run');
  const named = tests.filter(({ fullTitle }) => patterns.some((pattern) => pattern.test(fullTitle)));
  const files = [...new Set(named.map(({ file }) => relative(project, file)))];
  return mocha(files, '--grep', patterns.map(({ source }) => `(?:${source})`).join('|'));
}

const given = process.argv[2];
const report = given === undefined ? runTests() : (JSON.parse(readFileSync(given, 'utf8')) as Report);
const text = readFileSync(page, 'utf8');
const start = '<!-- made by scripts/compatibility.ts -->\n';
const end = '<!-- end -->\n';
const rows = FEATURES.map(({ section, name, tests }) => {
  const matching = (list: Report['passes']) =>
    list.filter(({ fullTitle }) => tests.some((test) => test.test(fullTitle))).length;
  const [passed, failed] = [matching(report.passes), matching(report.failures)];
  const isThere =
    passed > 0 && failed === 0 && tests.every((test) => report.passes.some((p) => test.test(p.fullTitle)));
  return {
    section,
    line: `| ${name} | ${isThere ? 'Y' : 'N'} | ${passed}${failed > 0 ? `, ${failed} fail` : ''} |`,
  };
});
const tables = [...new Set(rows.map((row) => row.section))].map((section) => {
  const lines = rows.filter((row) => row.section === section).map((row) => row.line);
  return [
    `### ${section}`,
    '',
    '| feature of BuildKit | tsbuild | tests |',
    '|---|---|---|',
    ...lines,
    '',
  ].join('\n');
});
const made = `${start}\n${tables.join('\n')}\n${end}`;
writeFileSync(page, text.slice(0, text.indexOf(start)) + made + text.slice(text.indexOf(end) + end.length));
execFileSync('npx', ['prettier', '--write', '--log-level', 'warn', page], { cwd: project });
const missing = rows.filter((row) => row.line.includes('| N |'));
console.log(`${rows.length} features, ${rows.length - missing.length} with passing tests`);
for (const { line } of missing) console.log(line);
