'use strict';
// Starts dist/cli.cjs with V8's compiled code of earlier runs, which halves the start-up time. A cache that does not fit
// the program or the Node version is rejected by V8 and written anew. So is one of runs that did without something that this
// run used: it lacks the functions for that, and V8 compiles each of them when it is first called.
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

const TRAILER_BYTES = 8;

/**
 * The compiled code, then the names of what the runs used that it is of, the length of these names and a checksum of the code. The
 * user's own is looked at first: it was written since the one in the program's directory lacked something.
 */
function readCache() {
  for (const place of [...places].reverse()) {
    try {
      const data = fs.readFileSync(path.join(place, name));
      const namesEnd = data.length - TRAILER_BYTES;
      const codeEnd = Math.max(0, namesEnd - data.readUInt32LE(namesEnd));
      const code = data.subarray(0, codeEnd);
      if (checksum(code) !== data.readInt32LE(namesEnd + 4)) continue;
      return { code, used: data.latin1Slice(codeEnd, namesEnd).split(' ') };
    } catch {
      // The next place, or none: then the program is compiled.
    }
  }
  return { code: undefined, used: [] };
}

/**
 * V8 aborts on code of which a part is lost. Of the bytes one in 512 is enough: a disk or a copy loses blocks of 4 KiB, in which eight
 * are looked at.
 */
function checksum(code) {
  let sum = code.length | 0;
  for (let i = 0; i < code.length; i += 512) sum = (Math.imul(sum, 31) + code[i]) | 0;
  return sum;
}

/** Also drops caches of earlier builds of the program. */
function writeCache(code, used) {
  const names = Buffer.from(used.join(' '), 'latin1');
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeUInt32LE(names.length);
  trailer.writeInt32LE(checksum(code), 4);
  const data = Buffer.concat([code, names, trailer]);
  for (const place of places) {
    try {
      return writeIn(place, data);
    } catch {
      // A place that cannot be written; the next one.
    }
  }
}

function writeIn(place, data) {
  fs.mkdirSync(place, { recursive: true });
  // Processes in containers that share the place may have the same number.
  const temporary = path.join(place, `.${name}.${process.pid}-${process.hrtime.bigint()}`);
  try {
    fs.writeFileSync(temporary, data, { flag: 'wx' });
    fs.renameSync(temporary, path.join(place, name));
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  for (const old of fs.readdirSync(place))
    if (/^cli-v.*\.cache$/.test(old) && old !== name) fs.rmSync(path.join(place, old), { force: true });
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

/** @param used takes the names of the modules that were loaded */
function lateRequire(load, used) {
  const known = new Map();
  const require = (request) => {
    if (!LATE.has(request)) {
      if (!request.startsWith('node:')) used.add(request);
      return load(request);
    }
    if (!known.has(request)) {
      const late = () => {
        used.add(request);
        return load(request);
      };
      const get = (_, key) => late()[key];
      const ownKeys = () => Reflect.ownKeys(late());
      const getOwnPropertyDescriptor = (_, key) => ({
        ...Object.getOwnPropertyDescriptor(late(), key),
        configurable: true,
      });
      known.set(request, new Proxy({}, { get, ownKeys, getOwnPropertyDescriptor }));
    }
    return known.get(request);
  };
  return require;
}

/** V8 drops the code of functions that nobody called for a while, which then is not in what such a run writes. */
const AGED_SEC = 2;
const AGED = 'aged';

/** A word that is neither a path nor a command ends in an error, and with that nothing is kept. */
function commandWord(first) {
  return /^[a-z]+$/.test(first) && !fs.existsSync(first) ? first : 'build';
}

function start() {
  const { code: cachedData, used: usedBefore } = readCache();
  const used = new Set([commandWord(process.argv[2] ?? '')]);
  // The bundle is ASCII, which the build checks; read as Latin-1, V8 keeps one byte for each character and decodes none. It is a
  // function already: put together here, V8 would copy all of it into one string.
  const script = new vm.Script(fs.readFileSync(file, 'latin1'), { filename: file, cachedData });
  const run = script.runInThisContext();
  const programRequire = lateRequire(launch.watch(require('node:module').createRequire(file)), used);
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
    if (status !== 0) return;
    // What this run did not call of a cache that was taken stays in it, unless it took long.
    const isTaken = cachedData !== undefined && !script.cachedDataRejected;
    const isAged = process.uptime() > AGED_SEC;
    // Of what an aged one lacks, a run that is none knows only what it used itself.
    const known = isTaken && (isAged || !usedBefore.includes(AGED)) ? usedBefore : [];
    if ([...used].every((one) => known.includes(one))) return;
    const all = new Set([...known, ...used]);
    if (isAged) all.add(AGED);
    writeCache(script.createCachedData(), [...all]);
  });
  // Nothing is left to do: without that, Node gives all memory back piece by piece before the kernel takes the rest.
  process.once('beforeExit', () => process.exit());
}

if (!launch.repeat()) start();
