import { convertDockerfile } from '../../src/frontend/convert.js';
import { expandWord } from '../../src/frontend/expansion.js';
import { parseGitReference } from '../../src/frontend/git-reference.js';
import { parseIgnoreFile, PatternMatcher } from '../../src/graph/pattern-matcher.js';
import { matchPath } from '../../src/graph/path-match.js';
import {
  parseArchiveManifest,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from '../../src/oci/image-documents.js';
import { formatPlatform, parsePlatform, selectPlatform } from '../../src/oci/platform.js';
import { formatReference, parseReference } from '../../src/oci/reference.js';
import { parseChallenge } from '../../src/oci/registry/auth.js';
import { readLayer } from '../../src/worker/snapshot/extract.js';
import { UnionView } from '../../src/worker/snapshot/union-view.js';
import { parseLayoutReference } from '../../src/worker/source/oci-layout.js';
import { BuildError } from '../../src/errors.js';
import { inChunks, paxEntry, rawEntry, rawTar } from '../kit/tar.js';

/** Something that takes bytes from elsewhere. It may throw BuildErrors, and nothing else. */
export interface FuzzTarget {
  readonly seeds: readonly (string | Buffer)[];
  readonly words: readonly string[];
  /** Mends what would be refused at once, such as checksums. */
  readonly mend?: (data: Buffer) => Buffer;
  run(data: Buffer): void | Promise<void>;
}

const DIGEST = `sha256:${'a'.repeat(64)}`;
const never = new AbortController().signal;
const DESCRIPTOR = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: DIGEST, size: 7 };

const dockerfile: FuzzTarget = {
  seeds: [
    '# syntax=docker/dockerfile:1\n# escape=`\nARG v=1\nFROM scratch AS a\nRUN echo `\n  hi\n',
    'FROM scratch\nENV a=1 b="$a${c:-d}" c=\'x y\'\nLABEL k="v w" l=$a\nWORKDIR /w/$a\nUSER u:g\nEXPOSE 1-9/udp\nVOLUME ["/v"]\n',
    'ARG x=y\nFROM --platform=$BUILDPLATFORM scratch AS one\nCOPY --chown=1:2 --chmod=u+x a* b/ /c/\nFROM one\nCOPY --from=one /a /b\nADD --checksum=sha256:x https://e.org/f /f\n',
    'FROM scratch\nRUN <<EOF\necho $a\nEOF\nCOPY <<-"A" <<B /d/\n\t1\nA\n2\nB\n',
    'FROM scratch\nRUN --mount=type=bind,from=x,target=/m --mount=type=cache,id=a,sharing=locked,target=/c --network=none ["a","b"]\nHEALTHCHECK --interval=5s --retries=3 CMD x\nONBUILD COPY . .\nSHELL ["/bin/sh"]\nSTOPSIGNAL 9\nENTRYPOINT a\nCMD ["b"]\nMAINTAINER m\n',
    'FROM scratch\nENV v=aXbXc p=${v#a*} q=${v%%X*} r=${v//X/Y} s=${v:+w} t=${v:?no} u=${n:-${v:-${z}}}\n',
  ],
  words: [
    'FROM ',
    ' AS ',
    'scratch',
    'RUN ',
    'COPY ',
    '--from=',
    '--mount=type=',
    'cache',
    'secret',
    'ssh',
    'tmpfs',
    'target=/',
    'ONBUILD ',
    'ARG ',
    'ENV ',
    '${',
    ':-',
    '//',
    '##',
    '%%',
    '<<EOF\n',
    'EOF\n',
    '\\\n',
    '# escape=`\n',
    '["',
    '"]',
    '--chmod=',
    '--parents ',
    '--exclude=',
    'HEALTHCHECK ',
    'NONE',
    '$TARGETPLATFORM',
    '**/',
    '[a-',
    'WORKDIR ',
    '\n',
    '# check=',
    'skip=all',
    'git@a:b.git',
  ],
  async run(data) {
    const text = data.toString('utf8');
    await convertDockerfile({
      dockerfile: { name: 'Dockerfile', text },
      buildArgs: { given: 'value' },
      platforms: [],
      buildPlatform: { os: 'linux', architecture: 'amd64' },
      labels: {},
      noCache: false,
      noCacheFilter: [],
      network: 'default',
      allow: [],
      ulimits: [],
      imageResolver: {
        resolveImage: () => Promise.reject(new BuildError('IMAGE_NOT_FOUND', 'no images here')),
      },
      sourceInspector: { newest: () => Promise.resolve(undefined) } as never,
      mainContext: { kind: 'local', name: 'context', ignorePatterns: [] },
      namedContexts: new Map(),
      extraHosts: [],
      lintsExtra: true,
      describesOnly: text.length % 2 === 0,
      convertsAll: true,
      signal: never,
    });
  },
};

const tar: FuzzTarget = {
  seeds: [
    rawTar(
      { name: 'a/b', body: 'x' },
      { name: 'l', flag: '2', link: 'a' },
      { name: 'h', flag: '1', link: 'a/b' },
    ),
    rawTar(paxEntry({ path: 'long/name', 'SCHILY.xattr.user.a': '\0\xff', mtime: '1.5', size: '3' }), {
      body: 'abc',
    }),
    rawTar(
      paxEntry({ comment: 'x', uid: '5' }, 'g'),
      { name: 'd', flag: '5' },
      { name: 'd/.wh.x' },
      { name: 'd/.wh..wh..opq' },
    ),
    rawTar(
      { name: 'L', flag: 'L', body: 'n'.repeat(150) },
      { name: 'K', flag: 'K', body: 't' },
      { flag: '2', link: 'x' },
    ),
    rawTar(
      { name: 'c', flag: '3', device: [1, 3] },
      { name: 'f', flag: '6' },
      { name: 'd', flag: '5' },
      { name: 'd' },
    ),
    rawEntry({ raw: { 124: Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]) }, body: 'x' }),
  ],
  words: [
    '../',
    '.wh.',
    '.wh..wh..opq',
    '/',
    '\0',
    '5',
    '2',
    '1',
    'x',
    'g',
    'L',
    '12 path=a\n',
    'GNU.sparse.major=1',
    ' size=-1\n',
    '\x80',
    '\xff',
    '0000777',
  ],
  mend: mendChecksums,
  async run(data) {
    const index = await readLayer(inChunks(data, 1 + (data.length % 700)), undefined);
    const view = new UnionView([index, index]);
    for (const { entry } of view.walk('')) {
      if (entry.path.split('/').includes('..') || entry.path.startsWith('/'))
        throw new Error(`"${entry.path}" leads out`);
      view.lookupTarget(entry.path);
    }
  },
};

/** Gives each header its checksum, as far as the sizes lead. */
function mendChecksums(data: Buffer): Buffer {
  const mended = Buffer.from(data);
  for (let at = 0; at + 512 <= mended.length;) {
    const block = mended.subarray(at, at + 512);
    if (block.every((byte) => byte === 0)) break;
    block.fill(' ', 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    const size = parseInt(block.toString('latin1', 124, 136), 8);
    at += 512 + (size > 0 ? Math.ceil(size / 512) * 512 : 0);
  }
  return mended;
}

const manifest: FuzzTarget = {
  seeds: [
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: DESCRIPTOR,
      layers: [DESCRIPTOR],
    }),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        {
          ...DESCRIPTOR,
          platform: { os: 'linux', architecture: 'arm', variant: 'v7', 'os.features': ['x'] },
          annotations: { a: 'b' },
        },
      ],
    }),
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {
        Env: ['a=b'],
        Cmd: null,
        Labels: { a: 'b' },
        Healthcheck: { Test: ['NONE'], Interval: 1 },
        ExposedPorts: { '1/tcp': {} },
      },
      rootfs: { type: 'layers', diff_ids: [DIGEST] },
      history: [{ created_by: 'x', empty_layer: true }],
    }),
    JSON.stringify([{ Config: 'a.json', RepoTags: ['a:b'], Layers: ['l/layer.tar'] }]),
  ],
  words: [
    'null',
    '[]',
    '{}',
    '""',
    '-1',
    '1e999',
    'true',
    '{"a":',
    '[[[[',
    '"digest":',
    '"__proto__":',
    '"config":',
    '"layers":',
    '"manifests":',
    '"rootfs":',
    '"platform":',
    '"os":',
    '\\ud800',
    DIGEST,
    '"size":',
    '"history":',
  ],
  run(data) {
    const parsers = [
      () => parseManifest(data, 'x').layers.map((layer) => layer.digest.length + layer.size),
      () => {
        const { manifests } = parseIndex(data, 'x');
        selectPlatform({ os: 'linux', architecture: 'amd64' }, manifests, ({ platform }) => platform);
        return manifests.map(({ platform }) => platform && formatPlatform(platform));
      },
      () => {
        const { rootfs, config, history } = parseImageConfig(data, 'x');
        const { Env, Labels, Entrypoint, OnBuild } = config ?? {};
        return [
          rootfs.diff_ids.length,
          Env?.map((entry) => entry.indexOf('=')),
          Object.values(Labels ?? {}).map((label) => label.length),
          Entrypoint?.map((word) => word.length),
          OnBuild?.map((line) => line.length),
          history?.map((entry) => entry.created_by?.length),
        ];
      },
      () =>
        parseArchiveManifest(data).map(({ Config, Layers, RepoTags }) => [
          Config.length,
          Layers.length,
          RepoTags?.map((tag) => tag.length),
        ]),
    ];
    tolerant(parsers);
  },
};

const reference: FuzzTarget = {
  seeds: [
    'alpine',
    'localhost:5000/a/b:c',
    `docker.io/library/x@${DIGEST}`,
    'oci-layout://dir:tag@' + DIGEST,
    'https://host/repo.git#ref:dir',
    'git@host:repo.git?branch=a&subdir=b',
    'ssh://u@h/p#r',
    'linux/arm/v7',
    'windows(10.0)/amd64',
    'Bearer realm="https://a/b",service="c",scope="d"',
    '# c\n*.o\n!keep/**\n**/x\n[a-c]?\\*\n',
    'a*b?[^c-d]\\x',
  ],
  words: [
    '@sha256:',
    ':',
    '/',
    '.',
    'localhost',
    'xn--',
    '[::1]',
    '..',
    '#',
    '?ref=',
    '&',
    '%00',
    '**/',
    '[^',
    '!',
    '\\',
    '*',
    'linux',
    'Basic ',
    'realm="',
    '--upload-pack=',
    'ext::',
  ],
  run(data) {
    const text = data.toString('utf8');
    const [pattern = '', second = ''] = text.split('\n');
    const name = second.slice(0, 255);
    tolerant([
      () => {
        const parsed = parseReference(text);
        const again = parseReference(formatReference(parsed));
        if (formatReference(again) !== formatReference(parsed))
          throw new Error(`"${text}" is not what it was`);
        return again;
      },
      () => parseLayoutReference(text),
      () => parseGitReference(text),
      () => parsePlatform(text),
      () => parseChallenge(text),
      () => new PatternMatcher(parseIgnoreFile(text)).matches(name),
      () => matchPath(pattern, name),
      () => expandWord(text, { env: (key) => (key === 'unset' ? undefined : `${key}-value`), escape: '\\' }),
    ]);
  },
};

/** Runs all; each may refuse what it was given. */
function tolerant(parsers: readonly (() => unknown)[]): void {
  for (const parse of parsers) {
    try {
      parse();
    } catch (error) {
      if (!(error instanceof BuildError) || error.code === 'INTERNAL') throw error;
    }
  }
}

export const TARGETS: Readonly<Record<string, FuzzTarget>> = { dockerfile, tar, manifest, reference };
