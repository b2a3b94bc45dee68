import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { mustRun, tsbuildIn } from '../test/kit/cli.js';
import { debianRootfs } from '../test/kit/debian-rootfs.js';

/**
 * Builds large Dockerfiles of known projects and writes the table at the end of docs/compatibility.md:
 * `npm run known-dockerfiles`, as root, or with names of projects for these alone (and no table). Nobody else's file is kept in
 * this repository: the sources come from the Debian mirror that apt knows. What cannot be had there is stood in for by
 * known-dockerfiles/Dockerfile.
 */
interface KnownDockerfile {
  readonly project: string;
  /** The archive in Debian's pool, and what its bytes must be. */
  readonly source: string;
  readonly sha256: string;
  /** Where the context lies in the archive. */
  readonly directory: string;
  readonly file: string;
  /** The version as a tag of git, for builds that ask git. */
  readonly version: string;
  readonly targets: readonly string[];
  /** Images that one with a distribution stands in for, and those that only carry programs. */
  readonly systems: readonly string[];
  readonly files: readonly string[];
  readonly args?: readonly string[];
}

const work = process.env['TSBUILD_KNOWN_DOCKERFILES'] ?? '/var/tmp/tsbuild-known-dockerfiles';
/** In the place of moby's stage that pulls images from Docker Hub. */
const frozenImages = join(work, 'frozen-images');

const KNOWN: readonly KnownDockerfile[] = [
  {
    project: 'moby',
    source: 'pool/main/d/docker.io/docker.io_28.5.2+dfsg4.orig.tar.xz',
    sha256: '2b390db1e12edabfa0a45e9ae03aece8f5933961e059da2dc79b1986c16e378e',
    directory: 'moby-moby-3ef3c07/engine',
    file: 'Dockerfile',
    version: 'v28.5.2',
    targets: ['binary', 'smoketest', 'all', 'dind', 'dev'],
    systems: ['golang:1.24.9-bookworm', 'busybox', 'distribution/distribution:3.0.0', 'docker:dind'],
    files: [
      'tonistiigi/xx:1.6.1',
      'moby/vpnkit-bin:0.6.0',
      'docker/buildx-bin:0.24.0',
      'docker/compose-bin:v2.36.2',
    ],
    args: ['--build-context', `frozen-images=${frozenImages}`],
  },
  {
    project: 'stargz-snapshotter',
    source:
      'pool/main/g/golang-github-containerd-stargz-snapshotter/golang-github-containerd-stargz-snapshotter_0.14.3.orig.tar.gz',
    sha256: '5397d799f76e5b7994820b1bf854f09e5a01c4607f5b9c4c5fd81a4ff7507754',
    directory: '.',
    file: 'Dockerfile',
    version: 'v0.14.3',
    targets: [
      'release-binaries',
      'snapshotter-base',
      'demo',
      'podman-rootless',
      'crio-stargz-store',
      'kind-builtin-snapshotter',
      '',
    ],
    systems: ['golang:1.20.1-bullseye', 'kindest/node:v1.26.0', 'ubuntu:23.04'],
    files: [],
  },
  {
    project: 'docker compose',
    source: 'pool/main/d/docker-compose/docker-compose_2.40.3.orig.tar.xz',
    sha256: 'a7ece4f888e0bade3bc4301cd6e967a98ac1ad16c4689a227b1fe0f53df28fc8',
    directory: '.',
    file: 'Dockerfile',
    version: 'v2.40.3',
    targets: [
      'binary',
      'release',
      'vendor-validate',
      'lint',
      'test-coverage',
      'docs-validate',
      'license-set',
      'license-validate',
    ],
    systems: ['golang:1.24.9-alpine', 'alpine'],
    files: [
      'tonistiigi/xx:1.6.1',
      'crazymax/osxcross:11.3-alpine',
      'golangci/golangci-lint:v2.0.2-alpine',
      'ghcr.io/google/addlicense:v1.0.0',
    ],
  },
  {
    project: 'docker buildx',
    source: 'pool/main/d/docker-buildx/docker-buildx_0.29.1+ds1.orig.tar.xz',
    sha256: '95331cdfc6cb5e58c9e50da3b0752654ffef31e5ca421602654a3273ae8d878b',
    directory: '.',
    file: 'Dockerfile',
    version: 'v0.29.1',
    targets: ['binaries', 'release', 'test-coverage', 'integration-test', 'shell'],
    systems: ['golang:1.24-alpine3.22', 'alpine:3.22', 'docker:28.4', 'registry:3.0.0'],
    files: [
      'tonistiigi/xx:1.6.1',
      'moby/moby-bin:28.4',
      'moby/moby-bin:27.5.1',
      'moby/moby-bin:26.1.3',
      'dockereng/cli-bin:28.4',
      'dockereng/cli-bin:27.5.1',
      'dockereng/cli-bin:26.1.3',
      'moby/buildkit:v0.24.0',
      'docker/compose-bin:v2.39.1',
      'crazymax/undock:0.9.0',
    ],
  },
  {
    project: 'containerd',
    source: 'pool/main/c/containerd/containerd_2.1.9+ds1.orig.tar.xz',
    sha256: 'ac1b1f90e9f56a8980b20bf610d401c77232ba1eb240b5570fcad36df760eb3e',
    directory: '.',
    file: 'contrib/Dockerfile.test',
    version: 'v2.1.9',
    targets: ['integration', 'critest', 'cri-in-userns', 'cri-in-userns-systemd'],
    systems: ['golang:1.25.11'],
    files: [],
  },
];

const project = join(import.meta.dirname, '..');
const store = join(work, 'store');
const tsbuild = tsbuildIn(store);

/** Downloads and unpacks the source, as a repository of git with one tagged commit. */
async function fetchContext(known: KnownDockerfile): Promise<string> {
  const root = join(work, known.project.replace(' ', '-'));
  const context = join(root, known.directory);
  if (existsSync(join(context, '.git'))) return context;
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  const archive = join(work, basename(known.source));
  const response = await fetch(`${debianMirror()}${known.source.replaceAll('+', '%2b')}`);
  if (!response.ok) throw new Error(`${known.source}: ${response.status}; a newer one took its place`);
  const bytes = Buffer.from(await response.arrayBuffer());
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (sha256 !== known.sha256)
    throw new Error(`${known.source} has sha256 ${sha256}, expected ${known.sha256}`);
  writeFileSync(archive, bytes);
  await mustRun('tar', ['-xf', archive, '-C', root, '--strip-components=1']);
  const git = (...args: string[]) =>
    mustRun('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], { cwd: context });
  await git('init', '-q');
  await git('add', '-A');
  await git('commit', '-q', '-m', known.version);
  await git('tag', known.version);
  return context;
}

function debianMirror(): string {
  const format = ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages', 'Label: Debian'];
  const [uri] = execFileSync('apt-get', format, { encoding: 'utf8' }).split('\n');
  if (!uri) throw new Error('apt knows no mirror of Debian');
  return uri;
}

async function makeStandIns(): Promise<void> {
  await tsbuild.must(['import', await debianRootfs(), 'debian-minbase']);
  for (const [target, names] of [
    ['system', KNOWN.flatMap(({ systems }) => systems)],
    ['files', KNOWN.flatMap(({ files }) => files)],
  ] as const) {
    const tags = [...new Set(names)].flatMap((name) => ['-t', name]);
    await tsbuild.must([join(import.meta.dirname, 'known-dockerfiles'), '--target', target, ...tags]);
  }
}

/** Checks and builds all targets; gives the row of the table. */
async function examine(known: KnownDockerfile): Promise<string> {
  const context = await fetchContext(known);
  const file = join(context, known.file);
  const text = readFileSync(file, 'utf8');
  const call = (...args: string[]) => tsbuild.run([context, '-f', file, ...args], { cwd: context });
  const check = await call('--check');
  const calls = [await call('--call=outline'), await call('--call=targets')];
  // A check ends with 1 where it has warnings.
  const passes = check.status !== null && check.status <= 1 && calls.every(({ status }) => status === 0);
  const warnings = /(\d+) warnings?/.exec(check.stdout + check.stderr)?.[1] ?? 'none';
  if (!passes) process.exitCode = 1;
  const built: string[] = [];
  for (const target of known.targets) {
    const name = target === '' ? 'the last stage' : `\`${target}\``;
    const args = target === '' ? [] : ['--target', target];
    const result = await call(...args, ...(known.args ?? []), '--progress=plain');
    const seconds = Math.round(result.elapsedMs / 1000);
    console.log(`${known.project} ${name}: status ${result.status}, ${seconds} s`);
    if (result.status !== 0) {
      console.log(result.stderr.slice(-4000));
      process.exitCode = 1;
    }
    built.push(result.status === 0 ? name : `**not** ${name}`);
  }
  const stages = text.match(/^FROM /gim)?.length ?? 0;
  const lines = text.split('\n').length - 1;
  const cells = [
    `${known.project} ${known.version.slice(1)}`,
    known.file,
    lines,
    stages,
    passes ? 'pass' : '**fail**',
    warnings,
    built.join(', '),
  ];
  return `| ${cells.join(' | ')} |`;
}

const names = process.argv.slice(2);
// Everything is built anew; only the sources are kept for the next run.
rmSync(store, { recursive: true, force: true });
mkdirSync(join(frozenImages, 'build'), { recursive: true });
writeFileSync(join(frozenImages, 'build/repositories'), '{}\n');
await makeStandIns();
const rows: string[] = [];
for (const known of KNOWN) {
  if (names.length === 0 || names.includes(known.project)) rows.push(await examine(known));
}
rmSync(store, { recursive: true, force: true });
console.log(rows.join('\n'));
if (names.length === 0) {
  const page = join(project, 'docs/compatibility.md');
  const text = readFileSync(page, 'utf8');
  const start = '<!-- made by scripts/known-dockerfiles.ts -->\n';
  const end = '<!-- end of known Dockerfiles -->\n';
  const head =
    '| project | file | lines | stages | checks | warnings | targets that are built |\n|---|---|---|---|---|---|---|';
  const made = `${start}\n${head}\n${rows.join('\n')}\n\n${end}`;
  writeFileSync(page, text.slice(0, text.indexOf(start)) + made + text.slice(text.indexOf(end) + end.length));
  execFileSync('npx', ['prettier', '--write', '--log-level', 'warn', page], { cwd: project });
}
