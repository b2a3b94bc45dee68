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

const cachedData = readCache();
const wrapper = require('node:module').wrap(fs.readFileSync(file, 'utf8'));
const script = new vm.Script(wrapper, {
  filename: file,
  cachedData,
});
const run = script.runInThisContext();
const programRequire = require('node:module').createRequire(file);
const programModule = { exports: {} };
run.call(
  programModule.exports,
  programModule.exports,
  programRequire,
  programModule,
  file,
  path.dirname(file),
);
if (cachedData === undefined || script.cachedDataRejected) {
  process.once('exit', (status) => {
    if (status === 0) writeCache(script.createCachedData());
  });
}
