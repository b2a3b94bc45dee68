import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ForeignCache, readForeignCache } from '../../../../src/cache/remote/buildkit-config.js';
import { BuildkitGraph, type GraphPorts } from '../../../../src/cache/remote/buildkit-graph.js';
import { BuildkitMatcher } from '../../../../src/cache/remote/buildkit-match.js';
import { type RecordedStep, writeRecords } from '../../../../src/cache/remote/buildkit-records.js';
import type { CacheConfig } from '../../../../src/cache/remote/cache-config.js';
import type { FrontendResult } from '../../../../src/frontend/convert.js';
import type { ImageResolver } from '../../../../src/frontend/image-resolver.js';
import type { Vertex } from '../../../../src/graph/definition.js';
import type { Descriptor } from '../../../../src/oci/descriptor.js';
import { type Digest, digestOf } from '../../../../src/oci/digest.js';
import type { ContainerConfig } from '../../../../src/oci/image-config.js';
import { contentOfContext } from '../../../../src/worker/ops/buildkit-content.js';
import { LocalContext } from '../../../../src/worker/source/local-context.js';
import { makeContext } from '../../../kit/context.js';
import { tmpDir } from '../../../kit/tmp-dir.js';
import { convertText, LINUX } from '../../frontend/convert-text.js';
import { BASE, BUILDKIT_CASES, CASE_CONTEXT } from './buildkit-cases.js';

/** What Docker 28.5.2 (BuildKit 0.25) exported for the cases: scripts/record-buildkit-cache.ts. */
const recorded = JSON.parse(readFileSync(join(import.meta.dirname, 'buildkit-recorded.json'), 'utf8')) as {
  base: { digest: Digest; diffIds: Digest[]; config: ContainerConfig };
  cases: Record<string, CacheConfig & { blobs: Descriptor[] }>;
};

const ORIGIN = 'cache://test';
const { base } = recorded;

const imageResolver: ImageResolver = {
  resolveImage: async () => ({
    identifier: `docker-image://127.0.0.1:5000/base@${base.digest}`,
    displayName: 'base',
    digest: base.digest,
    rootDigest: base.digest,
    platform: LINUX,
    config: {
      ...LINUX,
      config: base.config,
      rootfs: { type: 'layers', diff_ids: base.diffIds },
      history: base.diffIds.map(() => ({ created_by: 'base' })),
    },
  }),
};

function convertCase(text: string): Promise<FrontendResult> {
  return convertText(text.replaceAll(BASE, 'base'), { imageResolver });
}

/**
 * A graph whose context is a directory.
 * @param made directories with what steps hold, by the name of the step; of others it is not known
 */
function graphOf(
  { definition }: FrontendResult,
  directory: string,
  made: ReadonlyMap<string, string> = new Map(),
): BuildkitGraph {
  const open = (root: string) => new LocalContext(root, [], { statRoot: tmpDir() });
  const context = open(directory);
  const ports: GraphPorts = {
    imageLayers: async () =>
      base.diffIds.map((diffId) => ({ diffId, contentDigest: diffId, origin: 'docker-image://base' })),
    contentDigest: async ({ op, options }, selectors) => {
      const isContext = op.kind === 'source' && op.identifier.startsWith('local://');
      const stage = made.get(options.name);
      const tree = isContext ? context : stage === undefined ? undefined : open(stage);
      return tree && contentOfContext(tree, selectors);
    },
  };
  return new BuildkitGraph(definition, ports);
}

/** Vertices that are instructions of the Dockerfile. */
function stepsOf({ definition }: FrontendResult): Vertex[] {
  return [...definition.vertices.values()].filter(
    ({ op, options }) => op.kind !== 'source' && !options.name.startsWith('[internal]'),
  );
}

async function namesOfMissing(result: FrontendResult, cache: ForeignCache, directory: string) {
  const matcher = new BuildkitMatcher(cache, graphOf(result, directory));
  const missing: string[] = [];
  for (const vertex of stepsOf(result))
    if (!(await matcher.find(vertex, ORIGIN))) missing.push(vertex.options.name);
  return missing;
}

describe('steps by the digests of BuildKit', () => {
  let directory: string;

  before(() => {
    directory = makeContext(CASE_CONTEXT);
  });

  for (const [name, text] of Object.entries(BUILDKIT_CASES)) {
    describe(name, () => {
      let result: FrontendResult;
      let theirs: CacheConfig & { blobs: Descriptor[] };
      let cache: ForeignCache;

      before(async () => {
        result = await convertCase(text);
        theirs = recorded.cases[name]!;
        cache = readForeignCache(theirs, theirs.blobs)!;
      });

      it('finds every step in what BuildKit exported', async () => {
        expect(await namesOfMissing(result, cache, directory)).to.deep.equal([]);
      });

      it('writes the digests that BuildKit wrote', async () => {
        const steps = stepsOf(result).map((vertex): RecordedStep => ({
          vertex,
          createdAt: '2026-01-01T00:00:00Z',
          layers: [],
        }));
        const { records } = await writeRecords(steps, graphOf(result, directory));
        const ours = records.map(({ digest }) => digest);
        const expected = theirs.records!.filter(({ layers }) => layers).map(({ digest }) => digest);
        expect(ours).to.include.members(expected);
      });

      it('finds in what it wrote itself every step', async () => {
        const layers = (vertex: Vertex) =>
          graphOf(result, directory)
            .layersBelow(vertex)
            .then((below) => [
              ...below!.image.map(({ diffId }) => diffId),
              ...Array(below!.made)
                .fill(0)
                .map((_, i) => digestOf(`${i}`)),
            ]);
        const steps = await Promise.all(
          stepsOf(result).map(async (vertex): Promise<RecordedStep> => ({
            vertex,
            createdAt: '2026-01-01T00:00:00Z',
            layers: (await layers(vertex)).map((diffID) => ({
              blob: diffID,
              annotations: { mediaType: 'layer', diffID, size: 1 },
            })),
          })),
        );
        const written = await writeRecords(steps, graphOf(result, directory));
        const own = readForeignCache(JSON.parse(JSON.stringify(written)) as CacheConfig, [])!;
        expect(await namesOfMissing(result, own, directory)).to.deep.equal([]);
      });
    });
  }

  describe('what stages wrote', () => {
    const made = { 'o/f': 'hi\n', 'o/l': { link: 'f' }, 'o/d': { directory: true } } as const;

    it('stands for the stage, whatever wrote it', async () => {
      const theirs = recorded.cases['stages']!;
      const records = theirs.records!.map(({ inputs = [], ...record }) => ({
        ...record,
        inputs: inputs.map((links) => links.filter(({ selector }) => !selector)),
      }));
      const cache = readForeignCache({ ...theirs, records }, theirs.blobs)!;
      const result = await convertCase(BUILDKIT_CASES['stages']!);
      const stages = new Map([
        ['[one 2/2] RUN mkdir -p /o/d; echo hi > /o/f; ln -s f /o/l', makeContext(made)],
        ['[two 1/1] RUN echo two > /o/two', makeContext({ ...made, 'o/two': 'two\n' })],
      ]);
      const graph = graphOf(result, directory, stages);
      const matcher = new BuildkitMatcher(cache, graph);
      const found: string[] = [];
      for (const vertex of stepsOf(result))
        if (await matcher.find(vertex, ORIGIN)) found.push(vertex.options.name.replace(/^.*?\] /, ''));
      expect(found).to.have.members([
        'COPY --from=one /o/f /f',
        'COPY --from=one /o /o',
        'COPY --from=two /o/* /p/',
        'COPY --from=one /o/f /o/l /several/',
      ]);
    });
  });

  describe('what is not the same', () => {
    const found = async (text: string, change: (directory: string) => void = () => undefined) => {
      const theirs = recorded.cases['COPY of files']!;
      const changed = makeContext(CASE_CONTEXT);
      change(changed);
      const result = await convertCase(text);
      return (await namesOfMissing(result, readForeignCache(theirs, theirs.blobs)!, changed)).length === 0;
    };
    const copy = `FROM ${BASE}\nCOPY a /a`;

    it('does not enter a directory that is excluded', async () => {
      const context = new LocalContext(makeContext({ 'dir/a': 'a', 'dir/sub/b': 'b' }), [], {
        statRoot: tmpDir(),
      });
      const listed: string[] = [];
      const list = context.list.bind(context);
      context.list = (path) => {
        listed.push(path);
        return list(path);
      };
      const digest = await contentOfContext(context, [{ path: '/dir', exclude: ['sub'] }]);
      expect(digest).to.match(/^sha256:/);
      expect(listed).to.not.include('dir/sub');
    });

    it('is found as it was recorded', async () => {
      expect(await found(copy)).to.equal(true);
    });

    for (const [what, text, change] of [
      ['another file', copy, (dir: string) => makeContext({ a: 'two\n' }, dir)],
      ['another mode', copy, (dir: string) => makeContext({ a: { text: 'one\n', mode: 0o755 } }, dir)],
      ['another destination', `FROM ${BASE}\nCOPY a /b`, () => undefined],
      ['another owner', `FROM ${BASE}\nCOPY --chown=1 a /a`, () => undefined],
      ['a step below', `FROM ${BASE}\nWORKDIR /x\nCOPY a /a`, () => undefined],
      ['another base', 'FROM scratch\nCOPY a /a', () => undefined],
    ] as const)
      it(`is not found: ${what}`, async () => {
        expect(await found(text, change)).to.equal(false);
      });

    it('takes no record whose layers are not the image and one for each step', async () => {
      const theirs = recorded.cases['COPY of files']!;
      const shorter = { ...theirs, layers: theirs.layers!.map((layer) => ({ ...layer, parent: -1 })) };
      const cache = readForeignCache(shorter, theirs.blobs)!;
      const result = await convertCase(copy);
      expect(await namesOfMissing(result, cache, directory)).to.have.length(1);
    });
  });

  describe('a cache that is not as BuildKit writes it', () => {
    const digest = digestOf('x');
    for (const [what, config] of [
      ['a record that is below itself', { records: [{ digest, inputs: [[{ link: 0 }]] }] }],
      ['a link to nothing', { records: [{ digest, inputs: [[{ link: 7 }]] }] }],
      ['a digest that is none', { records: [{ digest: 'md5:1' }] }],
      ['no records', { layers: [] }],
      ['records of another type', { records: 'all' }],
    ] as const)
      it(`is none: ${what}`, () => {
        expect(readForeignCache(config as unknown as CacheConfig, [])).to.equal(undefined);
      });

    it('has no result where a layer is missing or its own parent', () => {
      const layers = [
        { blob: digest, parent: 0 },
        { blob: digest, parent: -1 },
      ];
      const results = [{ layer: 0 }, { layer: 1 }, { layer: 5 }];
      const blobs = [
        { mediaType: 'x', digest, size: 1, annotations: { 'containerd.io/uncompressed': digest } },
      ];
      const [record] = readForeignCache({ layers, records: [{ digest, layers: results }] }, blobs)!.records;
      expect(record!.results).to.have.length(1);
    });
  });
});
