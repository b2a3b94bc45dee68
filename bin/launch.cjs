'use strict';
// Starts dist/cli.cjs with V8's compiled code of an earlier run, which halves the start-up time. A cache that does not fit
// the program or the Node version is rejected by V8 and written anew.
const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`tsbuild needs Node.js 20.19 or later; this is ${process.version}\n`);
  process.exit(2);
}

const file = path.join(__dirname, '../dist/cli.cjs');
const stat = fs.statSync(file, { throwIfNoEntry: false });
if (!stat) {
  process.stderr.write('tsbuild is not built yet: run npm ci, or npm run build\n');
  process.exit(2);
}
const name = `cli-${process.version}-${process.arch}-${stat.mtimeMs}-${stat.size}.cache`;
const launch = openLaunch();

/** Where the directory is gone or the user has no home, the program says what is wrong, or does without. */
function openLaunch() {
  try {
    return require('../dist/repeat.cjs').openLaunch(name, process.argv.slice(2));
  } catch {
    return { repeat: () => false, watch: (load) => load, finish: () => undefined };
  }
}
const places = [
  path.dirname(file),
  path.join(process.env.XDG_CACHE_HOME || path.join(process.env.HOME || '/root', '.cache'), 'tsbuild'),
];

function readCache() {
  for (const place of places) {
    try {
      return fs.readFileSync(path.join(place, name));
    } catch {
      // The next place, or none: then the program is compiled.
    }
  }
  return undefined;
}

/** Also drops caches of earlier builds of the program. */
function writeCache(data) {
  for (const place of places) {
    try {
      fs.mkdirSync(place, { recursive: true });
      const temporary = path.join(place, `.${name}.${process.pid}`);
      fs.writeFileSync(temporary, data);
      fs.renameSync(temporary, path.join(place, name));
      for (const old of fs.readdirSync(place))
        if (/^cli-v.*\.cache$/.test(old) && old !== name) fs.rmSync(path.join(place, old), { force: true });
      return;
    } catch {
      // A place that cannot be written; the next one.
    }
  }
}

/** Modules of Node that most commands do without; each is loaded when something of it is first asked for. */
const LATE = new Set(
  [
    'child_process',
    'fs/promises',
    'net',
    'readline/promises',
    'timers/promises',
    'tls',
    'worker_threads',
    'zlib',
  ].map((late) => `node:${late}`),
);

function lateRequire(load) {
  const known = new Map();
  const require = (request) => {
    if (!LATE.has(request)) return load(request);
    if (!known.has(request)) {
      const get = (_, key) => load(request)[key];
      const ownKeys = () => Reflect.ownKeys(load(request));
      const getOwnPropertyDescriptor = (_, key) => ({
        ...Object.getOwnPropertyDescriptor(load(request), key),
        configurable: true,
      });
      known.set(request, new Proxy({}, { get, ownKeys, getOwnPropertyDescriptor }));
    }
    return known.get(request);
  };
  return require;
}

function start() {
  const cachedData = readCache();
  // The bundle is ASCII, which the build checks; read as Latin-1, V8 keeps one byte for each character and decodes none.
  const wrapper = require('node:module').wrap(fs.readFileSync(file, 'latin1'));
  const script = new vm.Script(wrapper, {
    filename: file,
    cachedData,
  });
  const run = script.runInThisContext();
  const programRequire = lateRequire(launch.watch(require('node:module').createRequire(file)));
  const programModule = { exports: {} };
  run.call(
    programModule.exports,
    programModule.exports,
    programRequire,
    programModule,
    file,
    path.dirname(file),
  );
  process.once('exit', (status) => {
    const own = [__filename, path.join(__dirname, '../dist/repeat.cjs')];
    launch.finish(
      status,
      Object.keys(require.cache).filter((loaded) => !own.includes(loaded)),
    );
    if (status === 0 && (cachedData === undefined || script.cachedDataRejected))
      writeCache(script.createCachedData());
  });
}

if (!launch.repeat()) start();
