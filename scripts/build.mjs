// Bundles the command (dist/cli.cjs, CommonJS) and the library (dist/index.js, ES module), and writes the types.
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const quiet = process.argv.includes('--quiet');

/** Changes with every source, so that an unchanged tree is not built again. */
function sourceStamp() {
  const hash = createHash('sha256').update(process.version);
  const visit = (path) => {
    const stat = statSync(path);
    if (stat.isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
    else hash.update(path).update(readFileSync(path));
  };
  for (const path of ['src', 'scripts/build.mjs', 'package.json', 'tsconfig.json', 'tsconfig.types.json'])
    visit(join(root, path));
  return hash.digest('hex');
}

/** npm does not link a package's own command, so `npx tsbuild` in a clone needs a hand. */
function linkOwnCommand() {
  const bin = join(root, 'node_modules/.bin');
  if (!existsSync(bin)) return;
  const link = join(bin, 'tsbuild');
  if (lstatSync(link, { throwIfNoEntry: false })) return;
  symlinkSync('../../bin/tsbuild', link);
}

const dist = join(root, 'dist');
const stampFile = join(dist, '.stamp');
const stamp = sourceStamp();
chmodSync(join(root, 'bin/tsbuild'), 0o755);
linkOwnCommand();
if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) {
  if (!quiet) console.log('dist is up to date');
  process.exit(0);
}
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
// Native modules, and what a cached build never loads: left out, the bundle is a third as long to read and compile.
const outside = [
  'koffi',
  'zstd-napi',
  'tar-stream',
  'undici',
  'dockerfile-ast',
  'yaml',
  'xz-decompress',
  'unbzip2-stream',
];
const directoryOf = (name) => dirname(createRequire(import.meta.url).resolve(name));
/** Files of packages in place of the whole: see src/oci/tar/header-codec.ts and src/oci/registry/dispatchers.ts. */
const withParts = {
  name: 'parts-of-packages',
  setup: ({ onLoad }) => {
    const inPlaceOf = (filter, contents) => onLoad({ filter }, () => ({ contents, resolveDir: root }));
    const codec = JSON.stringify(join(directoryOf('tar-stream'), 'headers.js'));
    inPlaceOf(
      /\/src\/oci\/tar\/header-codec\.ts$/,
      `export const loadHeaderCodec = () => require(${codec});`,
    );
    const of = (name) => `require(${JSON.stringify(join(directoryOf('undici'), 'lib', name))})`;
    inPlaceOf(
      /\/src\/oci\/registry\/dispatchers\.ts$/,
      `const dispatchers = {
        get Agent() { return ${of('dispatcher/agent.js')} },
        get EnvHttpProxyAgent() { return ${of('dispatcher/env-http-proxy-agent.js')} },
      };
      export const loadDispatchers = async () => {
        ${of('dispatcher/dispatcher.js')}.prototype.request = ${of('api/api-request.js')};
        return dispatchers;
      };`,
    );
  },
};
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  logLevel: 'warning',
  legalComments: 'none',
};
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const define = { TSBUILD_VERSION: JSON.stringify(version) };
await Promise.all([
  build({
    ...common,
    define,
    entryPoints: ['src/cli/main.ts'],
    outfile: 'dist/cli.cjs',
    format: 'cjs',
    external: outside,
    plugins: [withParts],
    // A script that vm compiles has no loader for import().
    supported: { 'dynamic-import': false },
    minifySyntax: true,
    minifyWhitespace: true,
    // As Node wraps modules; bin/launch.cjs calls it.
    banner: { js: '(function(exports,require,module,__filename,__dirname){' },
    footer: { js: '})' },
  }),
  ...[
    ['src/worker/snapshot/unpack-thread.ts', 'dist/unpack-thread.cjs'],
    ['src/cli/repeat/launch.ts', 'dist/repeat.cjs'],
  ].map(([entryPoint, outfile]) =>
    build({
      ...common,
      entryPoints: [entryPoint],
      outfile,
      format: 'cjs',
      external: outside,
      plugins: [withParts],
      minifySyntax: true,
      minifyWhitespace: true,
    }),
  ),
  build({
    ...common,
    define,
    entryPoints: ['src/index.ts'],
    outfile: 'dist/index.js',
    format: 'esm',
    packages: 'external',
  }),
]);
// bin/launch.cjs reads it as Latin-1. esbuild escapes what is not ASCII everywhere but in regular expressions.
if (/[^\0-\x7f]/.test(readFileSync(join(dist, 'cli.cjs'), 'utf8')))
  throw new Error('dist/cli.cjs is not ASCII: write such characters of regular expressions as \\u escapes');
execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.types.json'], {
  cwd: root,
  stdio: 'inherit',
});
writeFileSync(stampFile, stamp);
if (!quiet) console.log('built dist/cli.cjs, dist/index.js and dist/types');
