import type { CacheCase } from './cache-case.js';

const TWO_STAGES =
  'FROM base AS build\nCOPY a /a\nRUN wc -c < /a > /size\nFROM base\nCOPY --from=build /size /\nRUN cat /size > /out\n';

/** Edits of stages and bases, and reruns that write what was there. */
export const stageCases: readonly CacheCase[] = [
  {
    title: 'a stage whose result changes',
    dockerfile: TWO_STAGES,
    files: { a: 'a' },
    edit: { files: { a: 'aaa' } },
    runs: ['COPY a /a', 'RUN wc -c < /a > /size', 'COPY --from=build /size /', 'RUN cat /size > /out'],
    says: ['COPY a /a: "a" changed (content) in the build context'],
  },
  {
    title: 'a stage that is built again and gives the same',
    dockerfile: TWO_STAGES,
    files: { a: 'a' },
    edit: { files: { a: 'b' } },
    runs: ['COPY a /a', 'RUN wc -c < /a > /size'],
    says: ['COPY a /a: "a" changed (content) in the build context'],
  },
  {
    title: 'a RUN that writes the same files',
    dockerfile: 'FROM base\nRUN echo same > /same\nRUN cat /same > /out\nCOPY a /\n',
    files: { a: 'a' },
    edit: { dockerfile: { 'echo same >': 'printf "same\\n" >' } },
    runs: ['RUN printf "same\\n" > /same'],
    says: [
      'RUN printf "same\\n" > /same: command changed: "echo same > /same" → "printf \\"same\\\\n\\" > /same"',
    ],
    beatsBuildKit: true,
  },
  {
    title: 'an ARG that a RUN does not use, below which a COPY stands',
    dockerfile: 'FROM base\nARG V\nRUN echo same > /same\nCOPY a /\n',
    files: { a: 'a' },
    options: { buildArgs: { V: '1' } },
    edit: { options: { buildArgs: { V: '2' } } },
    runs: ['RUN echo same > /same'],
    says: [
      'RUN echo same > /same: ARG V changed: "1" → "2" (an ARG takes part in every RUN below it, also where it is not used)',
    ],
    beatsBuildKit: true,
  },
  {
    title: 'a RUN that overwrites what changed',
    dockerfile:
      'FROM base\nCOPY a /w/a\nRUN wc -c < /w/a > /size && rm -r /w\nFROM base\nCOPY --from=0 / /all\nRUN ls /all > /out\n',
    files: { a: 'a' },
    edit: { files: { a: 'b' } },
    runs: ['COPY a /w/a', 'RUN wc -c < /w/a > /size && rm -r /w'],
    says: ['COPY a /w/a: "a" changed (content) in the build context'],
  },
  {
    title: 'a stage that starts from one that gives the same again',
    dockerfile: 'FROM base AS one\nRUN echo same > /same\nFROM one\nRUN cat /same > /out\n',
    edit: { dockerfile: { 'echo same': 'echo  same' } },
    runs: ['RUN echo  same > /same'],
    says: ['RUN echo  same > /same: command changed: "echo same > /same" → "echo  same > /same"'],
    beatsBuildKit: true,
  },
  {
    title: 'a bind mount of a stage that gives the same again',
    dockerfile:
      'FROM base AS one\nRUN echo same > /same\nFROM base\nRUN --mount=type=bind,from=one,source=/same,target=/mnt cat /mnt > /out\nRUN echo 2 > /two\n',
    edit: { dockerfile: { 'echo same >': 'echo  same >' } },
    runs: ['RUN echo  same > /same'],
    says: ['RUN echo  same > /same: command changed: "echo same > /same" → "echo  same > /same"'],
  },
  {
    title: 'another name of a file that a bind mount of a stage shows',
    dockerfile:
      'FROM base AS one\nRUN mkdir /d && echo x > /d/a\nFROM base\nRUN --mount=type=bind,from=one,source=/d,target=/mnt ls /mnt > /out\n',
    edit: { dockerfile: { '/d/a': '/d/b' } },
    runs: [
      'RUN mkdir /d && echo x > /d/b',
      'RUN --mount=type=bind,from=one,source=/d,target=/mnt ls /mnt > /out',
    ],
    says: [
      'RUN mkdir /d && echo x > /d/b: command changed: "mkdir /d && echo x > /d/a" → "mkdir /d && echo x > /d/b"',
    ],
  },
  {
    title: 'another name of a file in a directory that is copied from a stage',
    dockerfile: 'FROM base AS one\nRUN mkdir /d && echo x > /d/a\nFROM base\nCOPY --from=one /d /d\n',
    edit: { dockerfile: { '/d/a': '/d/b' } },
    runs: ['RUN mkdir /d && echo x > /d/b', 'COPY --from=one /d /d'],
    says: [
      'RUN mkdir /d && echo x > /d/b: command changed: "mkdir /d && echo x > /d/a" → "mkdir /d && echo x > /d/b"',
    ],
  },
  {
    title: 'the owner of a file that is copied from a stage',
    dockerfile: 'FROM base AS one\nRUN echo x > /f && chown 1 /f\nFROM base\nCOPY --from=one /f /\n',
    options: { explain: true },
    edit: { dockerfile: { 'chown 1': 'chown 2' } },
    runs: ['RUN echo x > /f && chown 2 /f', 'COPY --from=one /f /'],
    says: [
      'FROM docker.io/library/base:latest: cached: nothing that takes part in the key changed',
      'RUN echo x > /f && chown 2 /f: command changed: "echo x > /f && chown 1 /f" → "echo x > /f && chown 2 /f"',
      'COPY --from=one /f /: "f" changed (owner 1:0 → 2:0) in [one 2/2] RUN echo x > /f && chown 2 /f',
    ],
  },
  {
    title: 'the platform',
    dockerfile: 'FROM base\nRUN echo 1 > /one\n',
    edit: { options: { platforms: ['linux/amd64/v2'] } },
    runs: ['RUN echo 1 > /one'],
    says: ['RUN echo 1 > /one: platform changed: "linux/amd64" → "linux/amd64/v2"'],
  },
  {
    title: 'a stage built again by --no-cache-filter, which gives the same',
    dockerfile: 'FROM base AS one\nRUN echo same > /same\nFROM one\nRUN cat /same > /out\n',
    edit: { options: { noCacheFilter: ['one'] } },
    runs: ['RUN echo same > /same'],
    says: ['RUN echo same > /same: --no-cache-filter one was given'],
    beatsBuildKit: true,
  },
  {
    title: 'a file of a stage that nobody copies',
    dockerfile: 'FROM base AS one\nRUN echo 1 > /one; echo 2 > /two\nFROM base\nCOPY --from=one /one /\n',
    edit: { dockerfile: { 'echo 2': 'echo 3' } },
    runs: ['RUN echo 1 > /one; echo 3 > /two'],
    says: [
      'RUN echo 1 > /one; echo 3 > /two: command changed: "echo 1 > /one; echo 2 > /two" → "echo 1 > /one; echo 3 > /two"',
    ],
  },
  {
    title: 'a stage that the target does not need',
    dockerfile: 'FROM base AS test\nRUN echo 1\nFROM base\nRUN echo 2\n',
    edit: { dockerfile: { 'echo 1': 'echo 11' } },
    runs: [],
    says: [],
  },
  {
    title: 'the name of a stage',
    dockerfile: 'FROM base AS one\nRUN echo 1 > /one\nFROM base\nCOPY --from=one /one /\n',
    edit: { dockerfile: { 'AS one': 'AS two', 'from=one': 'from=two' } },
    runs: [],
    says: [],
  },
  {
    title: 'a stage that is put before',
    dockerfile: 'FROM base\nRUN echo 1 > /one\n',
    edit: { dockerfile: { 'FROM base\n': 'FROM base AS other\nRUN echo other\nFROM base\n' } },
    runs: [],
    says: [],
  },
  {
    title: 'another target',
    dockerfile: 'FROM base AS one\nRUN echo 1 > /one\nFROM one AS two\nRUN echo 2 > /two\n',
    options: { target: 'one' },
    edit: { options: { target: 'two' } },
    runs: ['RUN echo 2 > /two'],
    says: ['RUN echo 2 > /two: first build of this step'],
  },
  {
    title: 'another base',
    dockerfile: 'FROM base\nRUN echo 1 > /one\n',
    edit: { dockerfile: { 'FROM base': 'FROM base-changed' } },
    runs: ['FROM docker.io/library/base-changed:latest', 'RUN echo 1 > /one'],
    says: ['FROM docker.io/library/base-changed:latest: base image changed: "sha256:…" → "sha256:…"'],
  },
  {
    title: 'a tag that moved to other files',
    dockerfile: 'FROM base\nRUN echo 1 > /one\n',
    edit: { base: 'base-changed' },
    runs: ['FROM docker.io/library/base:latest', 'RUN echo 1 > /one'],
    says: ['FROM docker.io/library/base:latest: base image changed: "sha256:…" → "sha256:…"'],
  },
  {
    title: 'a tag that moved to the same files with other times',
    dockerfile: 'FROM base\nRUN echo 1 > /one\nCOPY a /\nRUN ls / > /out\n',
    files: { a: 'a' },
    edit: { base: 'base-retimed' },
    runs: ['FROM docker.io/library/base:latest'],
    says: ['FROM docker.io/library/base:latest: base image changed: "sha256:…" → "sha256:…"'],
    beatsBuildKit: true,
  },
  {
    title: 'COPY --from an image whose tag moved, of a file that is the same',
    dockerfile: 'FROM scratch\nCOPY --from=base /etc/passwd /\n',
    edit: { base: 'base-changed' },
    runs: ['FROM docker.io/library/base:latest'],
    says: ['FROM docker.io/library/base:latest: base image changed: "sha256:…" → "sha256:…"'],
  },
  {
    title: 'COPY --from an image whose tag moved, of a file that changed',
    dockerfile: 'FROM scratch\nCOPY --from=base /etc/os-release /\n',
    edit: { base: 'base-changed' },
    runs: ['FROM docker.io/library/base:latest', 'COPY --from=base /etc/os-release /'],
    says: ['FROM docker.io/library/base:latest: base image changed: "sha256:…" → "sha256:…"'],
  },
];
