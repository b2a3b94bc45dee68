import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { build, importImage, inspectImage, tagImage } from '../../src/index.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { readTree } from '../kit/image-tree.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** Longer than what a stat index takes for too young to be proven by its times. */
const SETTLED_MS = 2100;

describe('never a wrong hit', function () {
  this.timeout(60_000);
  const root = tmpDir();

  before(function () {
    needs(this, 'builder');
  });

  /** Text of a file of the image. */
  async function built(context: string, path: string): Promise<string> {
    const dest = tmpDir();
    await build({ root, context, outputs: [{ type: 'local', dest }] });
    return readFileSync(join(dest, path), 'utf8');
  }

  function disguise(file: string, text: string): void {
    const before = statSync(file);
    writeFileSync(file, text);
    utimesSync(file, before.atime, before.mtime);
    const after = statSync(file);
    expect([after.size, after.mtimeMs]).to.deep.equal([before.size, before.mtimeMs]);
  }

  function statIndexOf(path: string): boolean {
    const directory = join(root, 'stat');
    return readdirSync(directory).some((name) =>
      readFileSync(join(directory, name), 'utf8').includes(JSON.stringify(path)),
    );
  }

  it('of a file with the size and mtime of before: ctime tells', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY settled /\n', settled: 'one' });
    utimesSync(join(context, 'settled'), 1e9, 1e9);
    await sleep(SETTLED_MS);
    expect(await built(context, 'settled')).to.equal('one');
    expect(statIndexOf('settled')).to.equal(true);
    disguise(join(context, 'settled'), 'two');
    expect(await built(context, 'settled')).to.equal('two');
  });

  it('of a file that is written in the second of the scan: it is read again', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY young /\n', young: 'one' });
    const nowSec = Math.floor(Date.now() / 1000);
    utimesSync(join(context, 'young'), nowSec, nowSec);
    expect(await built(context, 'young')).to.equal('one');
    expect(statIndexOf('young')).to.equal(false);
    disguise(join(context, 'young'), 'two');
    expect(await built(context, 'young')).to.equal('two');
  });

  it('of two contexts with the same relative paths', async () => {
    const contexts = ['one', 'two'].map((text) =>
      makeContext({ Dockerfile: 'FROM scratch\nCOPY d /d\n', 'd/same': text }),
    );
    for (const context of contexts) utimesSync(join(context, 'd/same'), 1e9, 1e9);
    await sleep(SETTLED_MS);
    const texts: string[] = [];
    for (const context of [...contexts, ...contexts]) texts.push(await built(context, 'd/same'));
    expect(texts).to.deep.equal(['one', 'two', 'one', 'two']);
  });

  it('of a directory that became a link to another one', async () => {
    const context = makeContext({
      Dockerfile: 'FROM scratch\nCOPY now/f /\n',
      'v1/f': 'one',
      'v2/f': 'two',
      now: { link: 'v1' },
    });
    expect(await built(context, 'f')).to.equal('one');
    rmSync(join(context, 'now'));
    symlinkSync('v2', join(context, 'now'));
    expect(await built(context, 'f')).to.equal('two');
  });

  it('of a tag that moved', async () => {
    for (const text of ['one', 'two']) {
      const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY f /\n', f: text });
      await build({ root, context, tags: [`moving-${text}`] });
    }
    const context = makeContext({ Dockerfile: 'FROM moving\nCOPY g /\n', g: 'g' });
    await tagImage('moving-one', 'moving', { root });
    expect(await built(context, 'f')).to.equal('one');
    await tagImage('moving-two', 'moving', { root });
    expect(await built(context, 'f')).to.equal('two');
  });

  it('of a base with the same files and other times: the steps are found, the image has the base that it names', async () => {
    const files = makeContext({ 'etc/conf': 'x' });
    const archive = join(tmpDir(), 'base.tar');
    for (const year of ['2020', '2021']) {
      execFileSync('tar', ['-C', files, `--mtime=${year}-01-01T00:00Z`, '-cf', archive, '.']);
      await importImage({ root, name: `retimed-${year}`, input: archive });
    }
    const layersOf = async (name: string) =>
      ((await inspectImage(name, { root }))[0] as unknown as { RootFS: { Layers: string[] } }).RootFS.Layers;
    const context = makeContext({ Dockerfile: 'FROM retimed\nWORKDIR /w\nCOPY g /\n', g: 'g' });
    const trees: unknown[] = [];
    for (const year of ['2020', '2021']) {
      await tagImage(`retimed-${year}`, 'retimed', { root });
      const { stats } = await build({ root, context, tags: [`on-${year}`] });
      expect(stats.executed).to.equal(year === '2020' ? 4 : 2, year);
      const [base, ...own] = await layersOf(`on-${year}`);
      expect([base]).to.deep.equal(await layersOf(`retimed-${year}`));
      const dest = tmpDir();
      await build({ root, context, outputs: [{ type: 'local', dest }] });
      trees.push([own, readTree(dest)]);
    }
    expect(trees[1]).to.deep.equal(trees[0]);
  });
});
