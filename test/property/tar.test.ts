import { expect } from 'chai';
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  createReadStream,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { readTar } from '../../src/oci/tar/tar-reader.js';
import { TAR_END, type TarEntry, tarPadding } from '../../src/oci/tar/tar-entry.js';
import { encodeTarHeader } from '../../src/oci/tar/tar-writer.js';
import { tmpDir } from '../kit/tmp-dir.js';

const RUNS = Number(process.env['TSBUILD_PROPERTY_RUNS'] ?? 25);

const name = fc
  .stringMatching(/^[a-zA-Z0-9 äß日_.+-]{1,40}$/)
  .filter((text) => !/^\.+$/.test(text) && text.trim() === text);
const path = fc.array(name, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'));

interface Member {
  readonly path: string;
  readonly data: Buffer;
  readonly mode: number;
  readonly mtimeSec: number;
  readonly link: string | undefined;
}

const member = fc.record({
  path,
  data: fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes)),
  mode: fc.constantFrom(0o600, 0o644, 0o755, 0o4755, 0o400),
  mtimeSec: fc.integer({ min: 0, max: 2 ** 32 }),
  link: fc.option(path, { nil: undefined }),
});

/** No path is a directory of another one. */
const members = fc.uniqueArray(member, { maxLength: 8, selector: (one) => one.path.split('/')[0]! });

function tarOf(list: readonly Member[], ids: { uid: number; gid: number }): Buffer {
  const blocks: Buffer[] = [];
  for (const { path: file, data, mode, mtimeSec, link } of list) {
    const common = { name: file, mode, ...ids, mtimeSec };
    const entry: TarEntry =
      link === undefined
        ? { ...common, type: 'file', size: data.length }
        : { ...common, type: 'symlink', size: 0, linkName: link };
    blocks.push(encodeTarHeader(entry));
    if (link === undefined) blocks.push(data, Buffer.alloc(tarPadding(data.length)));
  }
  return Buffer.concat([...blocks, TAR_END]);
}

describe('tar archives', function () {
  this.timeout(120_000);

  it('that we write are what GNU tar unpacks', () => {
    fc.assert(
      fc.property(members, (list) => {
        const dir = tmpDir();
        execFileSync('tar', ['-x', '-p', '--no-same-owner', '-C', dir], {
          input: tarOf(list, { uid: 0, gid: 0 }),
          stdio: ['pipe', 'ignore', 'ignore'],
        });
        for (const { path: file, data, mode, mtimeSec, link } of list) {
          const target = join(dir, file);
          if (link !== undefined) {
            expect(readlinkSync(target)).to.equal(link);
            continue;
          }
          const stat = lstatSync(target);
          expect(stat.mode & 0o777).to.equal(mode & 0o777);
          expect(Math.floor(stat.mtimeMs / 1000)).to.equal(mtimeSec);
          chmodSync(target, 0o600);
          expect(readFileSync(target)).to.deep.equal(data);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('with large numbers keep them, as GNU tar lists', () => {
    const list: Member[] = [
      { path: 'f', data: Buffer.from('x'), mode: 0o644, mtimeSec: 5_000_000_000, link: undefined },
    ];
    const listed = execFileSync('tar', ['-t', '-v', '--numeric-owner', '--utc'], {
      input: tarOf(list, { uid: 4_000_000_000, gid: 300_000 }),
      encoding: 'utf8',
    });
    expect(listed).to.contain('4000000000/300000').and.to.contain('2128-06-11');
  });

  for (const format of ['ustar', 'gnu', 'posix', 'v7']) {
    it(`of GNU tar in the format ${format} are read as they are`, async () => {
      const short = fc
        .array(fc.stringMatching(/^[a-z0-9_-]{1,12}$/), { minLength: 1, maxLength: 4 })
        .map((parts) => parts.join('/'));
      const list = fc.uniqueArray(
        fc.record({
          path: format === 'gnu' || format === 'posix' ? path : short,
          data: fc.uint8Array({ maxLength: 1500 }),
          link: fc.boolean(),
        }),
        {
          maxLength: 6,
          selector: (one) => one.path.split('/')[0]!,
        },
      );
      await fc.assert(
        fc.asyncProperty(list, async (files) => {
          const dir = tmpDir();
          for (const file of files) {
            mkdirSync(dirname(join(dir, 'in', file.path)), { recursive: true });
            if (file.link) symlinkSync('target of the link', join(dir, 'in', file.path));
            else writeFileSync(join(dir, 'in', file.path), file.data);
          }
          mkdirSync(join(dir, 'in'), { recursive: true });
          execFileSync('tar', [
            '-c',
            `--format=${format}`,
            '-f',
            join(dir, 'x.tar'),
            '-C',
            join(dir, 'in'),
            '.',
          ]);
          const read = new Map<string, Buffer | string>();
          for await (const entry of readTar(
            createReadStream(join(dir, 'x.tar')) as AsyncIterable<Uint8Array>,
          )) {
            const chunks: Uint8Array[] = [];
            for await (const chunk of entry.content) chunks.push(chunk);
            if (entry.type !== 'directory')
              read.set(entry.name.slice(2), entry.linkName ?? Buffer.concat(chunks));
          }
          const expected = new Map(
            files.map((file) => [file.path, file.link ? 'target of the link' : Buffer.from(file.data)]),
          );
          expect([...read].sort()).to.deep.equal([...expected].sort());
        }),
        { numRuns: RUNS },
      );
    });
  }
});
