import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { BuildError } from '../../src/errors.js';
import { parseReference } from '../../src/oci/reference.js';
import { RegistryClient } from '../../src/oci/registry/client.js';
import type { Credentials } from '../../src/oci/registry/credentials.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import {
  type Answer,
  type HostileRegistry,
  OCI_INDEX,
  OCI_MANIFEST,
  redirects,
  sends,
  sendsForever,
  serveImage,
  sha256,
  startHostileRegistry,
} from '../kit/hostile-registry.js';
import { needs } from '../kit/needs.js';
import { rawTar } from '../kit/tar.js';
import { tmpDir } from '../kit/tmp-dir.js';

const LOGIN: Credentials = { username: 'user', password: 'hunter2', origin: 'the test' };
const never = new AbortController().signal;

describe('registries that mean harm', () => {
  let registry: HostileRegistry;
  let other: HostileRegistry;
  const manifest = '/v2/x/manifests/latest';

  beforeEach(async () => {
    [registry, other] = [await startHostileRegistry(), await startHostileRegistry()];
  });
  afterEach(async () => {
    await Promise.all([registry.stop(), other.stop()]);
  });

  const client = () => new RegistryClient({ registries: {}, credentials: () => Promise.resolve(LOGIN) });
  const reference = () => parseReference(`${registry.host}/x`);
  const failure = async (promise: Promise<unknown>): Promise<BuildError> => {
    try {
      await promise;
    } catch (error) {
      expect(error).to.be.instanceOf(BuildError);
      return error as BuildError;
    }
    throw new Error('expected an error, got a result');
  };
  const blobOf = async (digest: `sha256:${string}`, size: number) => {
    let received = 0;
    const descriptor = { mediaType: 'x/y', digest, size };
    for await (const chunk of client().fetchBlob(reference(), descriptor, never)) received += chunk.length;
    return received;
  };

  describe('manifests', () => {
    const cases: [what: string, answer: Answer, code: string][] = [
      ['an endless one', sendsForever({ 'content-type': OCI_MANIFEST }), 'REGISTRY_FAILED'],
      [
        'one that announces a GiB',
        (_request, response) =>
          void response.writeHead(200, { 'content-length': String(2 ** 30) }).write('{'),
        'REGISTRY_FAILED',
      ],
      ['endless redirects', redirects('/v2/x/manifests/latest'), 'REGISTRY_FAILED'],
      ['a redirect to a file', redirects('file:///etc/passwd'), 'REGISTRY_FAILED'],
      ['a redirect to data', redirects('data:application/json,{}'), 'REGISTRY_FAILED'],
      ['a redirect to no URL', redirects('http://[::bad'), 'REGISTRY_FAILED'],
      ['a redirect to a script', redirects('javascript:1'), 'REGISTRY_FAILED'],
      [
        'a challenge with no realm',
        sends('', { 'www-authenticate': 'Bearer service="x"' }, 401),
        'REGISTRY_FAILED',
      ],
      [
        'a challenge with a file realm',
        sends('', { 'www-authenticate': 'Bearer realm="file:///etc/passwd"' }, 401),
        'REGISTRY_FAILED',
      ],
      [
        'a challenge with a broken realm',
        sends('', { 'www-authenticate': 'Bearer realm="http://"' }, 401),
        'REGISTRY_FAILED',
      ],
      ['an error of a MiB', sends('x'.repeat(1 << 20), {}, 404), 'REGISTRY_NOT_FOUND'],
      [
        'an error with other types',
        sends(JSON.stringify({ errors: [{ code: {}, message: [1] }] }), {}, 404),
        'REGISTRY_NOT_FOUND',
      ],
    ];
    for (const [what, answer, code] of cases) {
      it(`${what} ends with ${code}`, async () => {
        registry.answers.set(manifest, answer);
        expect((await failure(client().getManifest(reference(), never))).code).to.equal(code);
      });
    }

    it('with another digest than asked for are refused', async () => {
      const digest = sha256('one');
      registry.answers.set(`/v2/x/manifests/${digest}`, sends('two', { 'content-type': OCI_MANIFEST }));
      const asked = client().getManifest({ ...reference(), digest }, never);
      expect((await failure(asked)).code).to.equal('MANIFEST_INVALID');
    });
  });

  describe('tokens', () => {
    for (const [what, body] of [
      ['with a line break', JSON.stringify({ token: 'a\r\nx-evil: 1' })],
      ['that are no text', JSON.stringify({ token: { a: 1 } })],
      ['in no JSON', '<html>'],
      ['in deep JSON', '['.repeat(100_000)],
      ['of null', 'null'],
    ] as const) {
      it(`${what} are refused`, async () => {
        registry.answers.set('/token', sends(body));
        registry.answers.set(
          manifest,
          sends('', { 'www-authenticate': `Bearer realm="${registry.url}/token"` }, 401),
        );
        expect((await failure(client().getManifest(reference(), never))).code).to.be.oneOf([
          'REGISTRY_FAILED',
          'MANIFEST_INVALID',
        ]);
      });
    }
  });

  describe('credentials', () => {
    const asksForBasic =
      (answer: Answer): Answer =>
      (request, response) => {
        if (request.headers.authorization) return answer(request, response);
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      };

    it('do not follow a redirect to another server', async () => {
      registry.answers.set(manifest, asksForBasic(redirects(`${other.url}/stolen`)));
      other.answers.set('/stolen', sends('{}', { 'content-type': OCI_MANIFEST }));
      await client().getManifest(reference(), never);
      expect(registry.requests.some(({ authorization }) => authorization?.startsWith('Basic'))).to.equal(
        true,
      );
      expect(other.requests.map(({ authorization }) => authorization)).to.deep.equal([undefined]);
    });

    it('are not given to a server that a redirect leads to, though it asks', async () => {
      registry.answers.set(manifest, redirects(`${other.url}/stolen`));
      other.answers.set('/stolen', sends('', { 'www-authenticate': 'Basic realm="x"' }, 401));
      other.answers.set('/token', sends('{"token":"t"}'));
      expect((await failure(client().getManifest(reference(), never))).code).to.equal(
        'REGISTRY_UNAUTHORIZED',
      );
      other.answers.set(
        '/stolen',
        sends('', { 'www-authenticate': `Bearer realm="${other.url}/token"` }, 401),
      );
      expect((await failure(client().getManifest(reference(), never))).code).to.equal(
        'REGISTRY_UNAUTHORIZED',
      );
      expect(other.requests.every(({ authorization }) => authorization === undefined)).to.equal(true);
      expect(other.requests.some(({ line }) => line.includes('/token'))).to.equal(false);
    });

    it('are not sent to the place that an upload is sent to', async () => {
      const descriptor = { mediaType: 'x/y', digest: sha256('blob'), size: 4 };
      registry.answers.set(
        'POST /v2/x/blobs/uploads/',
        asksForBasic(sends('', { location: `${other.url}/upload` }, 202)),
      );
      other.answers.set('/upload', sends('', {}, 201));
      const body = async function* () {
        yield Buffer.from('blob');
      };
      await client().pushBlob(reference(), descriptor, body, never);
      expect(other.requests.map(({ authorization }) => authorization)).to.deep.equal([undefined]);
    });

    it('stand in no message', async () => {
      registry.answers.set(manifest, asksForBasic(sends('nope', {}, 403)));
      const error = await failure(client().getManifest(reference(), never));
      expect(JSON.stringify([error.message, error.hint, String(error.cause)])).not.to.contain('hunter2');
    });
  });

  describe('blobs', () => {
    const digest = sha256('blob');
    const path = `/v2/x/blobs/${digest}`;

    it('longer than their descriptor are refused', async () => {
      registry.answers.set(path, sendsForever());
      expect((await failure(blobOf(digest, 1000))).code).to.equal('BLOB_CORRUPT');
    });

    it('with other bytes are refused', async () => {
      registry.answers.set(path, sends('blub'));
      expect((await failure(blobOf(digest, 4))).code).to.equal('BLOB_CORRUPT');
    });

    it('that are cut off again and again are given up', async () => {
      registry.answers.set(path, (request, response) => {
        const from = Number(/bytes=(\d+)/.exec(request.headers.range ?? '')?.[1] ?? 0);
        response.writeHead(from > 0 ? 206 : 200, { 'content-length': String(1_000_000 - from) });
        response.write('x', () => response.destroy());
      });
      expect((await failure(blobOf(digest, 1_000_000))).code).to.equal('BLOB_CORRUPT');
      expect(registry.requests.length).to.be.lessThan(10);
    });

    it('with a coding that was not asked for are taken as they are', async () => {
      registry.answers.set(path, sends('blob', { 'content-encoding': 'gzip' }));
      expect(await blobOf(digest, 4)).to.equal(4);
    });
  });

  describe('images', () => {
    before(function () {
      needs(this, 'builder');
    });

    const layer = rawTar({ name: 'marker', body: 'evil' });
    const build = async (root = tmpDir(), dockerfile = `FROM ${registry.host}/x\nCOPY f /f\n`) => {
      const context = makeContext({ Dockerfile: dockerfile, f: 'f' });
      return tsbuildIn(root, { TSBUILD_LIMITS: 'manifestBytes=100000,imageConfigBytes=100000' }).run([
        '--progress=plain',
        '-o',
        'type=tar,dest=/dev/null',
        context,
      ]);
    };

    it('whose layer is not the one that the config names are refused, and nothing stays under its name', async () => {
      const wanted = sha256(rawTar({ name: 'marker', body: 'good' }));
      for (const instruction of ['RUN true', 'COPY --from=0 /marker /copy', 'COPY f /f']) {
        const root = tmpDir();
        serveImage(registry, 'x', { layers: [{ blob: layer, diffId: wanted }] });
        const { status, stderr } = await build(
          root,
          `FROM ${registry.host}/x\n${instruction.replace('--from=0', `--from=${registry.host}/x`)}\n`,
        );
        expect([status, stderr]).to.satisfy(
          ([s, e]: [number, string]) => s === 4 && e.includes('BLOB_CORRUPT'),
          `${instruction}: ${stderr}`,
        );
        const poisoned = join(root, 'snapshots', wanted.slice('sha256:'.length));
        expect(existsSync(poisoned) ? readdirSync(poisoned) : []).to.deep.equal([]);
      }
    });

    const configs: [what: string, config: Record<string, unknown>][] = [
      ['no list of layers', { rootfs: null }],
      ['layers that are none', { rootfs: { diff_ids: ['../../etc'] } }],
      ['too few layers', { rootfs: { diff_ids: [] } }],
      ['variables that are no text', { config: { Env: [1, { a: 1 }] } }],
      ['variables in a table', { config: { Env: { PATH: 'x' } } }],
      ['a user that is no text', { config: { User: ['root'] } }],
      ['labels of numbers', { config: { Labels: { a: 1 } } }],
      ['a history that is a bomb', { history: Array.from({ length: 50_000 }, () => ({ created_by: 'x' })) }],
      ['a history of nulls', { history: [null] }],
      ['triggers that are no text', { config: { OnBuild: [{}] } }],
      ['a trigger that is FROM', { config: { OnBuild: ['FROM scratch'] } }],
      ['a trigger in a trigger', { config: { OnBuild: ['ONBUILD ONBUILD RUN true'] } }],
      ['two lines in a trigger', { config: { OnBuild: ['RUN true\nFROM scratch'] } }],
      ['a working directory that is a number', { config: { WorkingDir: 7 } }],
    ];
    for (const [what, config] of configs) {
      it(`with ${what} end in an error`, async () => {
        serveImage(registry, 'x', { layers: [{ blob: layer }], config });
        const { status, stderr } = await build();
        expect(stderr).to.match(/\[(MANIFEST_INVALID|DOCKERFILE_SYNTAX), exit status [24]/);
        expect(status).to.be.oneOf([2, 4]);
        expect(stderr).not.to.match(/INTERNAL|TypeError|RangeError| {4}at /);
      });
    }

    it('with a hostile working directory stay in their root', async () => {
      serveImage(registry, 'x', {
        layers: [{ blob: layer }],
        config: { config: { WorkingDir: '../../../..', Env: ['=x', 'novalue', '__proto__=1'] } },
      });
      const { status, stderr } = await build();
      expect([status, stderr]).to.satisfy(([s]: [number]) => s === 0, stderr);
    });

    const manifests: [what: string, document: string, mediaType: string][] = [
      ['no JSON', '{', OCI_MANIFEST],
      ['null', 'null', OCI_MANIFEST],
      ['a list', '[]', OCI_MANIFEST],
      ['deep JSON', `{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, OCI_MANIFEST],
      [
        'a manifest and an index in one',
        JSON.stringify({ schemaVersion: 2, manifests: [], layers: [], config: {} }),
        OCI_MANIFEST,
      ],
      [
        'a type that is not its own',
        JSON.stringify({
          schemaVersion: 2,
          mediaType: OCI_INDEX,
          layers: [],
          config: { digest: sha256(''), size: 0 },
        }),
        OCI_MANIFEST,
      ],
      [
        'layers that point out',
        JSON.stringify({
          config: { digest: sha256(''), size: 0 },
          layers: [{ digest: 'sha256:../../../etc/passwd', size: 1 }],
        }),
        OCI_MANIFEST,
      ],
      [
        'a size below zero',
        JSON.stringify({ config: { digest: sha256(''), size: -1 }, layers: [] }),
        OCI_MANIFEST,
      ],
      [
        'a config of a TiB',
        JSON.stringify({ config: { digest: sha256('big'), size: 2 ** 40 }, layers: [] }),
        OCI_MANIFEST,
      ],
      ['an index of nothing', JSON.stringify({ manifests: [null] }), OCI_INDEX],
      [
        'platforms that are none',
        JSON.stringify({ manifests: [{ digest: sha256(''), size: 1, platform: { os: {} } }] }),
        OCI_INDEX,
      ],
    ];
    for (const [what, document, mediaType] of manifests) {
      it(`whose manifest is ${what} end in an error`, async () => {
        registry.answers.set('/v2/x/manifests/*', sends(document, { 'content-type': mediaType }));
        const { status, stderr } = await build();
        expect(stderr).to.match(/\[(MANIFEST_INVALID|IMAGE_NOT_FOUND|REGISTRY_FAILED), exit status/);
        expect(status).to.be.oneOf([1, 3, 4]);
        expect(stderr).not.to.match(/INTERNAL|TypeError|RangeError| {4}at /);
      });
    }
  });
});
