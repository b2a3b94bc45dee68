import { expect } from 'chai';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import type * as nodeFiles from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Observation } from '../../../../src/cli/repeat/observation.js';
import { PathLog } from '../../../../src/cli/repeat/path-log.js';
import { keep, recall } from '../../../../src/cli/repeat/repeat.js';
import { decodeRepeat, encodeRepeat, fingerprint } from '../../../../src/cli/repeat/repeat-file.js';
import { watchEnvironment, watchRequire } from '../../../../src/cli/repeat/watch.js';
import { FIELDS, rowReader, writeRow } from '../../../../src/worker/sys/file-rows.js';
import { tmpDir } from '../../../kit/tmp-dir.js';

/** So many that statx is called without Node. */
const MANY = 1_000_000;
const later = () => Date.now() + 60_000;

describe('a fingerprint', () => {
  it('differs for texts that differ in one letter, whichever it is', () => {
    const texts = ['', 'a', 'b', 'ab', 'ba', '\u{1f600}', '\u{1f601}', '\u{1f600}a', 'é', '\0'];
    expect(new Set(texts.map(fingerprint)).size).to.equal(texts.length);
  });
});

describe('rows of files', () => {
  it('are the same through Node and through libc', () => {
    const dir = tmpDir();
    const path = (name: string) => join(dir, name);
    writeFileSync(path('file'), 'text');
    writeFileSync(path('ünïcode'), '');
    writeFileSync(path('old'), '');
    utimesSync(path('old'), -5.25, -7.5);
    utimesSync(path('ünïcode'), 5e9, 5e9 + 0.123456);
    writeFileSync(path('large'), '');
    truncateSync(path('large'), 5 * 2 ** 32 + 3);
    mkdirSync(path('directory'));
    symlinkSync('file', path('link'));
    symlinkSync('nowhere', path('dangling'));
    linkSync(path('file'), path('second'));
    chmodSync(path('file'), 0o4751);
    const names = [
      'file',
      'ünïcode',
      'old',
      'large',
      'directory',
      'link',
      'dangling',
      'second',
      'absent',
      'no/such',
      'directory/',
    ];
    for (const how of ['link', 'file'] as const) {
      using one = rowReader(how, 1);
      using many = rowReader(how, MANY);
      for (const name of names) {
        const rows = new Float64Array(FIELDS * 3);
        for (const [reader, at] of [
          [one, 0],
          [many, FIELDS],
        ] as const) {
          reader.enter(`${dir}/${name.slice(0, name.lastIndexOf('/') + 1)}`);
          reader.read(rows, at, name.slice(name.lastIndexOf('/') + 1));
        }
        writeRow(
          rows,
          FIELDS * 2,
          (how === 'link' ? lstatSync : statSync)(path(name), { throwIfNoEntry: false }),
        );
        expect(rows.slice(FIELDS, FIELDS * 2), `${how} ${name}`).to.deep.equal(rows.slice(0, FIELDS));
        expect(rows.slice(FIELDS * 2), `${how} ${name}`).to.deep.equal(rows.slice(0, FIELDS));
      }
    }
    using many = rowReader('link', MANY);
    many.enter(`${path('file')}/`);
    expect(() => many.read(new Float64Array(FIELDS), 0, 'x')).to.throw('ENOTDIR');
  });
});

describe('what a process saw', () => {
  const stat = statSync(import.meta.filename);

  it('cannot be repeated where a path is two things, or younger than its times prove', () => {
    const seen = new Observation(later());
    seen.see('file', '/a', stat);
    seen.see('file', '/a', stat);
    seen.see('link', '/a', undefined);
    expect(encodeRepeat({ stdout: '', stderr: '' }, seen)).to.not.equal(undefined);
    seen.see('file', '/a', { ...stat, size: 1 });
    expect(seen.reason).to.equal(undefined);
    expect(encodeRepeat({ stdout: '', stderr: '' }, seen)).to.equal(undefined);
    const early = new Observation(Math.max(stat.mtimeMs, stat.ctimeMs) + 1_000);
    early.see('file', '/a', stat);
    expect(early.reason).to.equal('"/a" is young');
  });

  it('lists first the directory in which something changed last', () => {
    const log = new PathLog();
    for (const [path, ctimeMs] of [
      ['/a/1', 10],
      ['relative', 40],
      ['/b/1', 20],
      ['/a/2', 30],
      ['/b/2', 5],
      ['/', 1],
    ] as const)
      log.add(path, { ino: 1, mode: 2, size: 3, mtimeMs: 4, ctimeMs });
    const { names, rows } = log.grouped()!;
    expect(names.split('\0')).to.deep.equal(['./', 'relative', '/a/', '1', '2', '/b/', '1', '2', '/', '']);
    expect([...rows].filter((_, i) => i % FIELDS === 1)).to.deep.equal([40, 10, 30, 20, 5, 1]);
  });

  it('has room for many paths, each in two ways', () => {
    const log = new PathLog();
    const file = (i: number) => ({ ino: i + 1, mode: 2, size: 3, mtimeMs: 4, ctimeMs: 5 });
    const row = new Float64Array(FIELDS);
    for (let i = 0; i < 1_000; i++) {
      writeRow(row, 0, file(i));
      if (i % 2 === 0) log.add(`/${i}`, file(i));
      else log.addRow(`/${i}`, row, 0);
      log.addRow(`/${i}`, row, 0);
    }
    const { names, rows } = log.grouped()!;
    expect(names.split('\0').slice(1)).to.deep.equal(Array.from({ length: 1_000 }, (_, i) => String(i)));
    expect([...rows].filter((_, i) => i % FIELDS === 0)).to.deep.equal(
      Array.from({ length: 1_000 }, (_, i) => i + 1),
    );
  });

  it('leaves out what looked the same in the other way', () => {
    const [links, files] = [new PathLog(), new PathLog()];
    const stat = { ino: 1, mode: 2, size: 3, mtimeMs: 4, ctimeMs: 5 };
    for (const path of ['/a', '/link', '/only-looked-at']) links.add(path, stat);
    links.add('/gone', undefined);
    files.add('/a', stat);
    files.add('/link', { ...stat, ino: 7 });
    files.add('/only-read', stat);
    files.add('/gone', undefined);
    const { names, rows } = files.grouped(links)!;
    expect(names).to.equal(['/', 'link', 'only-read'].join('\0'));
    expect(rows).to.have.length(2 * FIELDS);
    expect(links.grouped()!.rows).to.have.length(4 * FIELDS);
  });

  const load = createRequire(import.meta.url);
  type Files = typeof nodeFiles;

  it('is each file that is looked at, and all else is unrepeatable', async () => {
    const root = tmpDir();
    const text = join(root, 'text');
    writeFileSync(text, 'x');
    const reasonOf = async (use: (fs: Files) => unknown) => {
      const seen = new Observation(later());
      await use(watchRequire(load, root, seen)('node:fs') as Files);
      return seen.reason;
    };
    const looks: ((fs: Files) => unknown)[] = [
      (fs) => fs.readFileSync(text),
      (fs) => fs.existsSync(`${text}-none`),
      (fs) => fs.closeSync(fs.openSync(text, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)),
      (fs) => fs.readdirSync(root),
      (fs) => fs.promises.readFile(text),
      (fs) => fs.utimesSync(text, 1, 1),
      (fs) => fs.writeFileSync(join(root, 'stat/x'), ''),
    ];
    mkdirSync(join(root, 'stat'));
    for (const look of looks) expect(await reasonOf(look), look.toString()).to.equal(undefined);
    const others: ((fs: Files) => unknown)[] = [
      (fs) => fs.writeFileSync(join(root, 'new'), ''),
      (fs) => fs.closeSync(fs.openSync(text, 'r+')),
      (fs) => fs.closeSync(fs.openSync(join(root, 'made'), fs.constants.O_RDONLY | fs.constants.O_CREAT)),
      (fs) => fs.promises.appendFile(text, 'y'),
      (fs) => fs.realpathSync(text),
      (fs) => fs.readFileSync('/proc/self/mountinfo'),
      (fs) => fs.readFileSync(Buffer.from(text)),
      (fs) => fs.utimesSync(tmpDir(), 1, 1),
    ];
    for (const other of others) expect(await reasonOf(other), other.toString()).to.be.a('string');
  });

  it('ends where processes, connections or threads begin', () => {
    const seen = new Observation(later());
    const watched = watchRequire(load, tmpDir(), seen);
    watched('node:path');
    expect(seen.reason).to.equal(undefined);
    for (const name of ['node:child_process', 'child_process', 'node:dns/promises', 'inspector']) {
      const other = new Observation(later());
      watchRequire(load, tmpDir(), other)(name);
      expect(other.reason).to.equal(name);
    }
  });

  it('is each variable of the environment that was asked for', () => {
    const seen = new Observation(later());
    const env = watchEnvironment({ A: '1', B: '2' }, seen);
    expect([env['A'], 'C' in env, env['A']]).to.deep.equal(['1', false, '1']);
    expect([...seen.variables]).to.deep.equal([
      ['A', '1'],
      ['C', undefined],
    ]);
    expect(Object.keys(env)).to.deep.equal(['A', 'B']);
    expect(seen.reason).to.be.a('string');
    const other = new Observation(later());
    watchEnvironment(env, other)['A'] = '3';
    expect(env['A']).to.equal('3');
    expect(other.reason).to.equal('the variable A was set');
  });

  it('is what a link says, also where nothing is there', () => {
    const root = tmpDir();
    const seen = new Observation(later());
    const files = watchRequire(load, root, seen)('fs') as Files;
    expect(() => files.readlinkSync(join(root, 'link'))).to.throw('ENOENT');
    expect(() => files.utimesSync(join(root, 'none'), 1, 1)).to.throw('ENOENT');
    expect([seen.links.size, seen.files.size, seen.touched.size, seen.reason]).to.deep.equal([
      1,
      0,
      0,
      undefined,
    ]);
  });
});

describe('the end of a command', () => {
  const outcome = { stdout: 'ü\n', stderr: '' };

  function seenFiles(dir: string): Observation {
    const seen = new Observation(later());
    for (const name of ['a', 'b', 'ü']) {
      writeFileSync(join(dir, name), name);
      seen.see('link', join(dir, name), lstatSync(join(dir, name)));
    }
    seen.see('file', join(dir, 'none/x'), undefined);
    seen.variables.set('GIVEN', 'secret').set('ABSENT', undefined);
    return seen;
  }

  function makeRoot(): string {
    const root = tmpDir();
    for (const name of ['leases', 'work']) mkdirSync(join(root, name));
    return root;
  }

  it('is read as it was written, and not at all where a letter of it is another', () => {
    const data = encodeRepeat(outcome, seenFiles(tmpDir()))!;
    const repeat = decodeRepeat(data)!;
    expect(repeat.head).to.deep.include(outcome);
    expect(repeat.head.variables).to.deep.equal([
      ['GIVEN', fingerprint('secret')],
      ['ABSENT', null],
    ]);
    expect(repeat.links.names.split('\0').slice(1)).to.have.members(['a', 'b', 'ü']);
    const start = data.indexOf('{"stdout');
    for (let at = start; at < data.indexOf('}', start); at += 7) {
      const damaged = Buffer.from(data);
      damaged[at] = damaged[at]! ^ 1;
      expect(decodeRepeat(damaged), `byte ${at}`).to.equal(undefined);
    }
    expect(decodeRepeat(data.subarray(0, 20))).to.equal(undefined);
  });

  it('is recalled where all is as it was', () => {
    const [root, dir] = [makeRoot(), tmpDir()];
    keep(root, 'request', outcome, seenFiles(dir));
    const env = { GIVEN: 'secret', OTHER: 'x' };
    const cwd = process.cwd();
    expect(recall(root, 'request', env)).to.deep.include(outcome);
    expect(recall(root, 'other', env)).to.equal(undefined);
    expect(recall(root, 'request', { ...env, GIVEN: 'Secret' })).to.equal(undefined);
    expect(recall(root, 'request', { ...env, ABSENT: '' })).to.equal(undefined);
    mkdirSync(join(dir, 'none'));
    expect(recall(root, 'request', env)).to.deep.include(outcome);
    writeFileSync(join(dir, 'none/x'), '');
    expect(recall(root, 'request', env)).to.equal(undefined);
    expect(process.cwd()).to.equal(cwd);
  });
});
