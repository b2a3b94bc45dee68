/**
 * A feature of BuildKit with the tests that show it: beginnings of, or words in, the full titles of tests. Without a test it
 * is not there.
 */
export interface Feature {
  readonly section: string;
  readonly name: string;
  readonly tests: readonly RegExp[];
}

const own = (row: string) => new RegExp(`^own conformance cases ${row}: `);

function section(title: string, rows: readonly (readonly [name: string, ...tests: RegExp[]])[]): Feature[] {
  return rows.map(([name, ...tests]) => ({ section: title, name, tests }));
}

const FILE = section('Directives and the file', [
  ['`# syntax=`', /dir-all: directive/, own('S1 case'), /dir-spaces/],
  ['`# escape=`', own('A1 escape'), /dir-badescape/],
  [
    '`# check=` for the file and for one instruction',
    own('A1 check'),
    /the comment that the page names skips it/,
  ],
  ['rules of directives', own('A1 directive rules'), /dir-dup/],
  ['BOM and CRLF', own('A1 BOM'), own('A1 CRLF')],
  ['comments and empty lines in continuations', own('A1 comments'), own('S1 continuation')],
  ['the longest line', own('A1 line limit')],
  ['`dockerfile` in lower case', own('A1 lower case')],
  ['`<Dockerfile>.dockerignore` before `.dockerignore`', own('S4 which file')],
  [
    'Dockerfile and context on standard input, from URLs and repositories',
    /^files from elsewhere contexts come/,
    /are contexts, with a ref/,
  ],
  ['comments as descriptions', own('A1 description'), /outline: arguments, secrets/],
]);

const INSTRUCTIONS = section('Instructions', [
  ['FROM with `--platform`, AS, variables, scratch, earlier stages', own('A2 FROM'), own('A4 platform')],
  ['ARG, several in a line', own('S3 ARG')],
  ['ENV in both forms', own('S3 ENV'), /env-legacy/],
  ['LABEL', own('A2 LABEL')],
  ['MAINTAINER', own('A2 MAINTAINER')],
  ['USER', own('S7 USER')],
  ['WORKDIR', own('S7 WORKDIR')],
  ['VOLUME', own('S7 VOLUME')],
  ['STOPSIGNAL', own('A2 STOPSIGNAL')],
  ['SHELL', own('A2 SHELL')],
  ['ONBUILD', own('A2 ONBUILD'), own('S1 ONBUILD')],
  ['CMD', own('A2 CMD')],
  ['ENTRYPOINT', own('S7 ENTRYPOINT')],
  ['HEALTHCHECK with all flags', own('A2 HEALTHCHECK')],
  ['EXPOSE with ranges and protocols', own('S7 EXPOSE')],
  ['shell form and exec form', own('A2 RUN'), own('S1 JSON')],
  ['heredocs in RUN', own('S2 RUN')],
  ['heredocs in COPY and ADD', own('S2 COPY'), own('S2 ADD')],
  ['an unknown instruction is named with the nearest one', own('S1 unknown'), /errors suggest FROM for FORM/],
]);

const FLAGS = section('Flags of COPY, ADD and RUN', [
  [
    'COPY `--from` a stage, an index, an image, a context',
    own('A2 COPY --from'),
    /with a name take the place of images/,
  ],
  ['`--chown`', own('A2 COPY --chown')],
  ['`--chmod`, octal and symbolic', own('A2 COPY --chmod')],
  ['`--link`', own('A2 COPY --link')],
  ['`--parents`', own('A2 COPY --parents')],
  ['`--exclude`', own('S4 --exclude')],
  [
    'ADD `--checksum`',
    /asks nobody when the file of a checksum/,
    /must have the commit that the checksum says/,
  ],
  ['ADD `--keep-git-dir`', /give plain modes and owners, and no .git/],
  ['ADD `--unpack`', /unpacks an archive with --unpack only/],
  [
    'ADD of repositories: `#ref:dir` and queries',
    /are checked out at the default branch/,
    /give a directory of them/,
  ],
  ['ADD of URLs with tokens as secrets', /takes the authorization along to no other host/],
  ['ADD of archives', own('A2 ADD tar')],
  ['RUN `--mount`', own('A3 rules'), /^RUN --mount/],
  ['RUN `--network`', own('A2 RUN --network'), /may ask for --network=host/],
  ['RUN `--security`', own('A2 RUN --security'), /may ask for --security=insecure/],
  ['RUN `--device` (refused: no CDI)', own('A2 RUN --device'), /says that it knows no devices/],
  ['`--` ends flags, a flag twice is an error', own('S1 flags'), /fl-dd/],
]);

const MOUNTS = section('RUN --mount', [
  ['bind', own('A3 bind'), /binds the context/],
  ['cache: id, sharing, mode, owner, from', own('A3 cache'), /^RUN --mount keeps a cache directory/],
  ['tmpfs', own('A3 tmpfs')],
  ['secret: file, variable, required, mode, owner', own('A3 secret'), /^RUN --mount of a secret/],
  ['ssh: id, target, required, mode, owner', /an ssh agent/],
]);

const VARIABLES = section('Variables', [
  ['`$v`, `${v}` and escapes', own('A4 forms')],
  [
    '`${v:-w}` and its kin, nested',
    own('A4 forms'),
    /^an expansion is BuildKit’s|^variables are expanded|expand/,
  ],
  ['where variables are expanded', own('A4 where')],
  ['one instruction sees one state', own('A4 snapshot')],
  ['automatic platform ARGs', own('S3 automatic')],
  ['proxy ARGs', own('S3 proxy')],
  [
    '`BUILDKIT_*` arguments',
    own('S3 BUILDKIT'),
    /build arguments BUILDKIT_/,
    /with RUN BUILDKIT_CACHE_MOUNT_NS/,
  ],
  ['SOURCE_DATE_EPOCH in all forms', own('S3 epoch'), /SOURCE_DATE_EPOCH/],
  ['`--build-arg` from the environment and from files', /a build argument comes from a file/],
]);

const CONTEXTS = section('Contexts and .dockerignore', [
  ['the rules of .dockerignore', own('S4 patterns'), own('S4 use'), /^\.dockerignore /],
  ['a context with a name has its own .dockerignore', /with a name are directories with their own/],
  ['`--build-context`: directory, image, layout, repository, URL', /with a name take the place of images/],
  [
    'in the place of a stage or an image, `name::platform`',
    /take the place of stages/,
    /with a platform in the name/,
  ],
  ['`scratch` and `context` cannot be replaced', /with the names of the main context/],
  ['git contexts: ref, directory', /are contexts, with a ref and a directory/],
  [
    'git contexts: queries, submodules, `.git`',
    /a repository is a context by each key/,
    /comes with its submodules/,
    /keeps \.git where/,
  ],
  [
    'GIT_AUTH_TOKEN, GIT_AUTH_HEADER, HTTP_AUTH_*',
    /is given GIT_AUTH_TOKEN/,
    /with a token or a header as a secret/,
  ],
  ['compressed archives on standard input', /an archive on standard input goes through/],
  ['`oci-layout://` by tag and digest', /a layout as a context is found by its tag/],
  ['URL contexts: archive or Dockerfile', /come from a URL: an archive/],
  ['`target:` and `service:` link targets of a bake file', /^bake builds target: contexts /],
]);

const RULES = [
  'StageNameCasing',
  'FromAsCasing',
  'NoEmptyContinuation',
  'ConsistentInstructionCasing',
  'DuplicateStageName',
  'ReservedStageName',
  'JSONArgsRecommended',
  'MaintainerDeprecated',
  'UndefinedArgInFrom',
  'WorkdirRelativePath',
  'UndefinedVar',
  'MultipleInstructionsDisallowed',
  'LegacyKeyValueFormat',
  'InvalidBaseImagePlatform',
  'RedundantTargetPlatform',
  'SecretsUsedInArgOrEnv',
  'InvalidDefaultArgInFrom',
  'FromPlatformFlagConstDisallowed',
  'CopyIgnoredFile',
  'InvalidDefinitionDescription',
  'ExposeProtoCasing',
  'ExposeInvalidFormat',
];

const CHECKS = section(
  'Checks',
  RULES.map((rule) => [`[${rule}](rules/${rule}.md)`, new RegExp(`^the page of a rule ${rule}: `)] as const),
);

const CALLS = section('Descriptions', [
  ['`--check`, `--call=check`', /check: status 0 without a finding/],
  ['`--call=outline`', /outline: arguments, secrets/],
  ['`--call=targets`', /targets: stages with their descriptions/],
  ['`,format=json`', /check: status 0 without a finding/],
  [
    'the list of calls (`frontend.subrequests.describe`)',
    / describe: the calls that there are/,
    /each call of the list/,
  ],
  [
    'the definition as data (`convertllb`)',
    /convertllb gives the vertices of the target/,
    /convertllb shows no secret/,
  ],
  ['`bake --print`, `bake --list`', /^bake prints what buildx prints /, /^bake refuses what buildx refuses /],
]);

/** What BuildKit 0.32 has for Dockerfiles. */
export const FEATURES: readonly Feature[] = [
  ...FILE,
  ...INSTRUCTIONS,
  ...FLAGS,
  ...MOUNTS,
  ...VARIABLES,
  ...CONTEXTS,
  ...CHECKS,
  ...CALLS,
];
