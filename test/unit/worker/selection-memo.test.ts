import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { LocalContext } from '../../../src/worker/source/local-context.js';
import { forgetStatIndex } from '../../../src/worker/source/stat-index.js';
import type { CopyAction } from '../../../src/graph/op.js';
import { selectionDigest } from '../../../src/worker/ops/copy-select.js';
import { codeOf } from '../../kit/code-of.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const ACTION = { kind: 'copy', input: 0, source: '/tree', destination: '/' } as unknown as CopyAction;
const FILES = 300;

/** Times of a change that lies far enough back to show. */
const OLD = new Date('2020-01-01');

describe('a selection that was made before', () => {
  let directory: string;
  let statRoot: string;
  const at = (path: string) => join(directory, path);
  const write = (path: string, text: string) => {
    writeFileSync(at(path), text);
    utimesSync(at(path), OLD, OLD);
  };

  beforeEach(() => {
    directory = tmpDir();
    statRoot = tmpDir();
    mkdirSync(at('tree/empty'), { recursive: true });
    for (let i = 0; i < FILES; i++) write(`tree/f${i}`, `${i}`);
    symlinkSync('f1', at('tree/link'));
  });

  /** On the clock of a later day: a change of the inode takes the time of now. */
  function contextOfLaterDay(ignore: readonly string[] = []): LocalContext {
    const now = Date.now;
    Date.now = () => now() + 10_000;
    try {
      return new LocalContext(directory, ignore, { statRoot });
    } finally {
      Date.now = now;
    }
  }

  /** What a build asks. */
  async function select(ignore: readonly string[] = [], action = ACTION) {
    const context = contextOfLaterDay(ignore);
    let made = 0;
    const make = () => {
      made++;
      return selectionDigest(context, action);
    };
    const digest = await context.selection(action, make);
    context.save();
    return { digest, isMade: made > 0, confirm: () => context.confirm(action, make) };
  }

  it('is known without its files being asked for', async () => {
    const first = await select();
    expect(first.isMade).to.equal(true);
    expect(await select()).to.include({ digest: first.digest, isMade: false });
  });

  const changes: readonly (readonly [what: string, change: () => void])[] = [
    ['a content of equal size and times', () => write('tree/f7', 'x')],
    ['a size', () => write('tree/f7', 'longer')],
    ['a mode', () => chmodSync(at('tree/f7'), 0o600)],
    ['the mode of a directory', () => chmodSync(at('tree/empty'), 0o700)],
    ['a new file', () => write('tree/new', 'new')],
    ['a new file in an empty directory', () => write('tree/empty/new', 'new')],
    ['a file that is gone', () => rmSync(at('tree/f7'))],
    ['a file with another name', () => renameSync(at('tree/f7'), at('tree/g7'))],
    [
      'two files that changed places',
      () => {
        renameSync(at('tree/f7'), at('tree/g'));
        renameSync(at('tree/f8'), at('tree/f7'));
        renameSync(at('tree/g'), at('tree/f8'));
      },
    ],
    [
      'a link to another file',
      () => {
        rmSync(at('tree/link'));
        symlinkSync('f2', at('tree/link'));
      },
    ],
    [
      'a link in the place of a file',
      () => {
        rmSync(at('tree/f7'));
        symlinkSync('f8', at('tree/f7'));
      },
    ],
    [
      'a link in the place of the directory',
      () => {
        renameSync(at('tree'), at('other'));
        symlinkSync('other', at('tree'));
        writeFileSync(at('other/f7'), 'new');
      },
    ],
  ];
  for (const [what, change] of changes) {
    it(`is made again after ${what}`, async () => {
      const first = await select();
      change();
      const second = await select();
      expect(second.isMade).to.equal(true);
      expect(second.digest).not.to.equal(first.digest);
    });
  }

  it('is another one for other ignore patterns, flags and sources', async () => {
    await select();
    expect((await select(['tree/f7'])).isMade).to.equal(true);
    expect((await select([], { ...ACTION, excludePatterns: ['f7'] })).isMade).to.equal(true);
    expect((await select([], { ...ACTION, source: '/tree/f*', allowWildcard: true })).isMade).to.equal(true);
  });

  it('does not look at what is ignored', async () => {
    const ignore = ['tree/f7'];
    const first = await select(ignore);
    write('tree/f7', 'another');
    expect(await select(ignore)).to.include({ digest: first.digest, isMade: false });
  });

  it('sees a new file that a wildcard matches', async () => {
    const action = { ...ACTION, source: '/tree/f*', allowWildcard: true };
    await select([], action);
    expect((await select([], action)).isMade).to.equal(false);
    write('tree/f-new', 'new');
    expect((await select([], action)).isMade).to.equal(true);
  });

  it('does not depend on what was looked at for another at the same time', async () => {
    mkdirSync(at('other'));
    write('other/x', '1');
    const other = { ...ACTION, source: '/other' };
    const select = async () => {
      const context = contextOfLaterDay();
      const made: string[] = [];
      const make = (name: string, action: CopyAction) =>
        context.selection(action, () => {
          made.push(name);
          return selectionDigest(context, action);
        });
      await Promise.all([make('tree', ACTION), make('other', other)]);
      context.save();
      return made;
    };
    expect(await select()).to.deep.equal(['tree', 'other']);
    write('other/x', '2');
    expect(await select()).to.deep.equal(['other']);
  });

  it('sees what becomes visible in a directory that is ignored', async () => {
    mkdirSync(at('tree/out'));
    write('tree/out/a.log', 'a');
    const ignore = ['tree/out', '!tree/out/*.txt'];
    // The list of the directory is there already when the selection is made.
    const select = async () => {
      const context = contextOfLaterDay(ignore);
      context.list('tree');
      let made = 0;
      await context.selection(ACTION, () => {
        made++;
        return selectionDigest(context, ACTION);
      });
      return made;
    };
    await select();
    expect(await select()).to.equal(0);
    write('tree/out/b.txt', 'b');
    expect(await select()).to.equal(1);
  });

  it('is not kept with a socket in it, whose place a file may take', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(at('tree/socket'), resolve));
    await select();
    expect((await select()).isMade).to.equal(true);
    await new Promise((resolve) => server.close(resolve));
  });

  it('is not kept while a change may still leave no trace', async () => {
    linkSync(at('tree/f1'), at('tree/hard'));
    const context = new LocalContext(directory, [], { statRoot });
    await context.selection(ACTION, () => selectionDigest(context, ACTION));
    context.save();
    expect((await select()).isMade).to.equal(true);
  });

  it('must still be so when its files are used', async () => {
    await select();
    const known = await select();
    await known.confirm();
    const recalled = await select();
    write('tree/f7', 'while the build runs');
    expect(await codeOf(recalled.confirm())).to.equal('CONTEXT_CHANGED');
  });

  it('is forgotten with the index of the directory, and of no other', async () => {
    await select();
    forgetStatIndex(statRoot, '/other');
    expect((await select()).isMade).to.equal(false);
    forgetStatIndex(statRoot, directory);
    expect((await select()).isMade).to.equal(true);
  });

  it('is looked at in the same way where there are thousands of files', async () => {
    for (const place of ['tree/a/b', 'tree/c']) {
      mkdirSync(at(place), { recursive: true });
      for (let i = 0; i < 2_100; i++) write(`${place}/${i}`, '');
    }
    const first = await select();
    expect(await select()).to.include({ digest: first.digest, isMade: false });
    for (const change of [
      () => chmodSync(at('tree/a/b/2099'), 0o600),
      () => rmSync(at('tree/c/0')),
      () => renameSync(at('tree/c'), at('tree/d')),
      () => symlinkSync('d', at('tree/c')),
      () => rmSync(at('tree/a'), { recursive: true }),
    ]) {
      change();
      expect((await select()).isMade, String(change)).to.equal(true);
      expect((await select()).isMade).to.equal(false);
    }
  });

  it('is made again where what was kept is damaged', async () => {
    const first = await select();
    for (const name of readdirSync(statRoot)) writeFileSync(join(statRoot, name), 'x');
    expect((await select()).digest).to.equal(first.digest);
  });

  it('is right whichever byte of what was kept is another one, or is missing', async () => {
    const first = await select();
    const kept = readdirSync(statRoot).map((name) => [name, readFileSync(join(statRoot, name))] as const);
    for (let round = 0; round < 200; round++) {
      for (const [name, data] of kept) {
        const changed = Buffer.from(data);
        const place = Math.floor(Math.random() * data.length);
        changed[place]! ^= 1 << (round & 7);
        writeFileSync(join(statRoot, name), round < 180 ? changed : changed.subarray(0, place));
      }
      expect((await select()).digest).to.equal(first.digest);
    }
  });
});
