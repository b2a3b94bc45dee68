/** The rank table of ARCHITECTURE.md: a module imports its own folder and folders of lower rank only. */
const ranks = [
  ['^src/(errors|mutable|explanation|progress|config)\\.ts$', '^src/oci/', '^src/secrets/'],
  ['^src/graph/'],
  ['^src/frontend/', '^src/cache/', '^src/bake/'],
  ['^src/solver/', '^src/worker/'],
  ['^src/exporter/', '^src/doctor/', '^src/prune/'],
  ['^src/[^/]+\\.ts$'],
  ['^src/cli/'],
];
const leafs = '^src/(errors|mutable|explanation|progress|config)\\.ts$';

/** Same rank, other folder, is forbidden as well; rank 0's leaf modules are open to everyone. */
const forbidden = [];
ranks.forEach((folders, rank) => {
  const higher = ranks.slice(rank + 1).flat();
  for (const folder of folders) {
    if (rank === 5 || rank === 6) continue;
    const siblings = folders.filter(
      (other) => other !== folder && other !== leafs && !other.startsWith('^src/('),
    );
    forbidden.push({
      name: `rank-${rank}-${folder.replace(/[^a-z]/g, '')}`,
      severity: 'error',
      from: { path: folder, pathNot: rank < 5 ? [] : [leafs] },
      to: { path: [...higher.filter((other) => other !== '^src/[^/]+\\.ts$'), ...siblings] },
    });
    if (rank < 5) {
      forbidden.push({
        name: `rank-${rank}-${folder.replace(/[^a-z]/g, '')}-no-root`,
        severity: 'error',
        from: { path: folder },
        to: { path: '^src/[^/]+\\.ts$', pathNot: leafs },
      });
    }
  }
});
forbidden.push({
  name: 'rank-5-no-cli',
  severity: 'error',
  from: { path: '^src/[^/]+\\.ts$' },
  to: { path: '^src/cli/' },
});
forbidden.push({
  name: 'no-circular',
  severity: 'error',
  from: {},
  to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
});

/** One door for each native or heavy dependency. */
const doors = {
  'dockerfile-ast': '^src/frontend/ast\\.ts$',
  'tar-stream': '^src/oci/tar/',
  'zstd-napi': '^src/oci/compression',
  koffi: '^src/worker/sys/',
  undici: '^src/oci/registry/',
  ssri: '^src/oci/digest\\.ts$',
  'p-queue': '^src/solver/',
  commander: '^src/cli/',
  yaml: '^src/(config|bake/compose)\\.ts$',
};
for (const [name, door] of Object.entries(doors)) {
  forbidden.push({
    name: `door-${name}`,
    severity: 'error',
    from: { path: '^src/', pathNot: door },
    to: { path: `^node_modules/${name}/` },
  });
}

module.exports = {
  forbidden,
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
  },
};
