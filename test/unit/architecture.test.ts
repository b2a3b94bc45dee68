import { expect } from 'chai';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const project = join(import.meta.dirname, '../..');
const page = readFileSync(join(project, 'ARCHITECTURE.md'), 'utf8');

function sourceFiles(dir: string): string[] {
  return readdirSync(join(project, dir)).flatMap((name) => {
    const path = `${dir}/${name}`;
    return statSync(join(project, path)).isDirectory() ? sourceFiles(path) : [path];
  });
}

describe('ARCHITECTURE.md', () => {
  const files = sourceFiles('src');
  const rows = new Map(
    [...page.matchAll(/^\| `(src\/[^`]*)` \| [^|]* \| ([^|]*) \|$/gm)].map((match) => [match[1]!, match[2]!]),
  );

  it('has a place for each file of src, in the row of its folder', () => {
    const lost = files.filter((file) => {
      const slash = file.lastIndexOf('/');
      return !rows.get(file.slice(0, slash + 1))?.includes(`\`${file.slice(slash + 1, -'.ts'.length)}\``);
    });
    expect(lost).to.deep.equal([]);
  });

  it('names no file that does not exist', () => {
    const named = [...rows].flatMap(([folder, list]) =>
      [...list.matchAll(/`([^`]+)`/g)].map((match) => `${folder}${match[1]}.ts`),
    );
    expect(named.filter((file) => !files.includes(file))).to.deep.equal([]);
    const inText = [
      ...page.matchAll(/`((?:frontend|solver|cache|worker|exporter|graph|oci|cli)\/[a-z/-]+\.ts)`/g),
    ].map((match) => `src/${match[1]}`);
    expect(inText.filter((file) => !files.includes(file))).to.deep.equal([]);
  });

  it('and the sources hold no word for work left undone', () => {
    const marks = files.filter((file) =>
      /\b(TODO|FIXME|XXX)\b|not implemented/i.test(readFileSync(join(project, file), 'utf8')),
    );
    expect(marks).to.deep.equal([]);
  });
});
