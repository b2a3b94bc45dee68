import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, importImage, type ProgressEvent, tagImage } from '../../src/index.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { type ContextEntry, makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';
import type { CacheCase, CacheEdit } from './cache-cases/cache-case.js';
import { contextCases } from './cache-cases/context-cases.js';
import { instructionCases } from './cache-cases/instruction-cases.js';
import { stageCases } from './cache-cases/stage-cases.js';

const template = tmpDir();

/** The store that every case starts with: three images, and the base's layer as a directory. */
async function makeTemplate(): Promise<void> {
  const rootfs = makeBaseRootfs();
  const archive = join(tmpDir(), 'base.tar');
  const pack = (time: string) =>
    execFileSync('tar', ['-C', rootfs, '--sort=name', `--mtime=${time}`, '-cf', archive, '.']);
  const add = (name: string) => importImage({ root: template, name, input: archive });
  pack('2020-01-01T00:00:00Z');
  await add('base');
  pack('2021-01-01T00:00:00Z');
  await add('base-retimed');
  writeFileSync(join(rootfs, 'etc/os-release'), 'ID=changed\n');
  pack('2020-01-01T00:00:00Z');
  await add('base-changed');
  const context = makeContext({ Dockerfile: 'FROM base\nRUN true\n' });
  await build({ root: template, context, outputs: [{ type: 'cacheonly' }] });
  for (const name of ['steps', 'records']) rmSync(join(template, name), { recursive: true });
}

interface Outcome {
  readonly ran: readonly string[];
  readonly said: readonly string[];
}

async function buildCase(
  root: string,
  context: string,
  { options, title }: CacheCase,
  more: CacheEdit = {},
): Promise<Outcome> {
  const names = new Map<string, string>();
  const ran: string[] = [];
  const said: string[] = [];
  const onProgress = (event: ProgressEvent) => {
    if (event.kind === 'announced' && !/^(\[internal\]|exporting)/.test(event.name))
      names.set(event.digest, event.name.replace(/^\[[^\]]*\] /, '').replace(/@sha256:\w+$/, ''));
    const name = 'digest' in event && event.digest !== undefined ? names.get(event.digest) : undefined;
    if (name === undefined) return;
    if (event.kind === 'done') ran.push(name);
    if (event.kind === 'explained') said.push(`${name}: ${shortened(event.text)}`);
  };
  const merged = { ...options, ...more.options };
  const secrets = Object.entries(merged.secrets ?? {}).map(([id, origin]) => [
    id,
    'file' in origin ? { file: join(context, origin.file) } : origin,
  ]);
  await build({
    ...merged,
    secrets: Object.fromEntries(secrets),
    root,
    context,
    outputs: [{ type: 'cacheonly' }],
    onProgress,
  }).catch((error: unknown) => {
    throw new Error(`${title}: ${String(error)}`, { cause: error });
  });
  return { ran, said };
}

function shortened(text: string): string {
  return text
    .replace(/^not cached: /, '')
    .replace(/sha256:[0-9a-f]+/g, 'sha256:…')
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ/g, 'TIME')
    .replace(/build of \/\S+\)/g, 'build of PLACE)');
}

/** Applies an edit and gives the context, which may be another one. */
async function apply(root: string, before: string, edit: CacheEdit): Promise<string> {
  const context = edit.moves ? tmpDir() : before;
  if (edit.moves)
    cpSync(before, context, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  const file = join(context, 'Dockerfile');
  for (const [text, other] of Object.entries(edit.dockerfile ?? {})) {
    const old = readFileSync(file, 'utf8');
    if (!old.includes(text)) throw new Error(`the Dockerfile lacks "${text}"`);
    writeFileSync(file, old.replace(text, other));
  }
  for (const path of Object.keys(edit.files ?? {}))
    rmSync(join(context, path), { recursive: true, force: true });
  const written = Object.entries(edit.files ?? {}).filter(([, entry]) => entry !== undefined);
  makeContext(Object.fromEntries(written) as Record<string, ContextEntry>, context);
  for (const [path, mode] of Object.entries(edit.modes ?? {})) chmodSync(join(context, path), mode);
  for (const path of edit.touched ?? []) utimesSync(join(context, path), 1e9, 1e9);
  for (const [path, text] of Object.entries(edit.disguised ?? {})) disguise(join(context, path), text);
  if (edit.base) await tagImage(edit.base, 'base', { root });
  if (edit.losesRecords) rmSync(join(root, 'records'), { recursive: true });
  return context;
}

function disguise(file: string, text: string): void {
  const { size, atime, mtime } = statSync(file);
  if (text.length !== size) throw new Error('a disguise has the size of the old content');
  writeFileSync(file, text);
  utimesSync(file, atime, mtime);
}

const groups = { files: contextCases, instructions: instructionCases, stages: stageCases };

describe('change X, build again', function () {
  this.timeout(60_000);

  before(async function () {
    needs(this, 'mounts', { program: 'crun' }, { program: 'busybox' });
    await makeTemplate();
  });

  it('has at least 60 cases, and 8 in which BuildKit runs more', () => {
    const all = Object.values(groups).flat();
    expect(all.length).to.be.at.least(60);
    expect(all.filter(({ beatsBuildKit }) => beatsBuildKit).length).to.be.at.least(8);
  });

  for (const [group, cases] of Object.entries(groups))
    describe(group, () => {
      for (const one of cases)
        it(one.title, async () => {
          const root = join(tmpDir(), 'root');
          execFileSync('cp', ['-a', template, root]);
          const context = makeContext({ Dockerfile: one.dockerfile, ...one.files });
          await buildCase(root, context, one);
          const edited = await apply(root, context, one.edit);
          const { ran, said } = await buildCase(root, edited, one, one.edit);
          expect([...said].sort()).to.deep.equal([...one.says].sort());
          expect([...ran].sort()).to.deep.equal([...one.runs].sort());
          const again = await buildCase(root, edited, one, {
            options: { ...one.edit.options, noCache: false, noCacheFilter: [], explain: false },
          });
          expect(again).to.deep.equal({ ran: [], said: [] });
          rmSync(root, { recursive: true });
        });
    });
});
