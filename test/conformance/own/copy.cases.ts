import type { OwnCase } from './case.js';

export const COPY_CASES: readonly OwnCase[] = [
  {
    name: 'a file, renamed, into directories that are there and not',
    row: 'S6 dest',
    dockerfile:
      'FROM base\nCOPY a.txt /r\nCOPY a.txt /new/\nCOPY a.txt /tmp\nCOPY a.txt /x/y/z\nCOPY a.txt /x/y/d/.\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'relative to WORKDIR',
    row: 'S6 dest',
    dockerfile:
      'FROM base\nWORKDIR /w/x\nCOPY a.txt .\nCOPY a.txt b/\nCOPY a.txt ../c\nCOPY a.txt ./d\nCOPY a.txt ../../../../e\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'relative without WORKDIR',
    row: 'S6 dest',
    dockerfile: 'FROM scratch\nCOPY a.txt b\nCOPY a.txt c/d/\nCOPY a.txt .\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'several sources without a slash',
    row: 'S6 dest',
    dockerfile: 'FROM base\nCOPY a.txt b.txt /same\n',
    files: {
      'a.txt': 'a\n',
      'b.txt': 'b\n',
    },
  },
  {
    name: 'several sources into a directory that is there',
    row: 'S6 dest',
    dockerfile: 'FROM base\nCOPY a.txt b.txt /tmp\n',
    files: {
      'a.txt': 'a\n',
      'b.txt': 'b\n',
    },
  },
  {
    name: 'several sources relative without a slash',
    row: 'S6 dest',
    dockerfile: 'FROM base\nCOPY a.txt b.txt dir\n',
    files: {
      'a.txt': 'a\n',
      'b.txt': 'b\n',
    },
  },
  {
    name: 'a wildcard with several matches without a slash',
    row: 'S6 dest',
    dockerfile: 'FROM base\nCOPY *.txt /same\n',
    files: {
      'a.txt': 'a\n',
      'b.txt': 'b\n',
    },
  },
  {
    name: 'of a directory, with and without a slash',
    row: 'S6 dest symlink',
    dockerfile:
      'FROM base\nRUN mkdir /real && ln -s real /l && ln -s /real/sub /dangling\nCOPY a.txt /l\nCOPY b.txt /l/\nCOPY a.txt /l/n/a\nCOPY a.txt /dangling/\n',
    files: {
      'a.txt': 'a\n',
      'b.txt': 'b\n',
    },
  },
  {
    name: 'at the target itself is replaced',
    row: 'S6 dest symlink',
    dockerfile:
      'FROM base\nRUN echo real > /real && ln -s real /l && ln -s nowhere /m\nCOPY a.txt /l\nCOPY a.txt /m\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'of the base image',
    row: 'S6 dest symlink',
    dockerfile: 'FROM base\nCOPY a.txt /sbin/tool\nCOPY dir /sbin\n',
    files: {
      'a.txt': 'a\n',
      'dir/x1': '1\n',
    },
  },
  {
    name: 'that leads out with dots',
    row: 'S6 dest symlink',
    dockerfile:
      'FROM base\nRUN ln -s ../../../../tmp /l && ln -s ../../.. /etc/up\nCOPY a.txt /l/\nCOPY a.txt /etc/up/up.txt\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'a loop',
    row: 'S6 dest symlink',
    dockerfile: 'FROM base\nRUN ln -s b /a && ln -s a /b\nCOPY a.txt /a/\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'cannot leave the context',
    row: 'S6 source',
    dockerfile: 'FROM base\nCOPY ../../a.txt /1\nCOPY /a.txt /2\nCOPY ./d/../a.txt /3\n',
    files: {
      'a.txt': 'a\n',
      'd/x': 'x\n',
    },
  },
  {
    name: 'with a trailing slash',
    row: 'S6 source',
    dockerfile: 'FROM base\nCOPY src/ /1\nCOPY src/. /2/\nCOPY src/sub/ /3\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
    },
  },
  {
    name: 'a file with a trailing slash',
    row: 'S6 source',
    dockerfile: 'FROM base\nCOPY a.txt/ /1\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'is not there',
    row: 'S6 source',
    dockerfile: 'FROM base\nCOPY none.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'one of two is not there',
    row: 'S6 source',
    dockerfile: 'FROM base\nCOPY a.txt none.txt /d/\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'to a new place, into one that is there, nested',
    row: 'S6 directory',
    dockerfile:
      'FROM base\nRUN mkdir -p /d/sub /d/keep && chmod 700 /d /d/sub && chown 5:6 /d/sub && echo old > /d/sub/two && echo old > /d/sub/old && touch -d @1400000000 /d/sub/old /d/sub/two /d/keep\nCOPY src /d\nCOPY src /n\nCOPY src/sub /n/sub2/\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
    },
  },
  {
    name: 'mode of the source directory itself',
    row: 'S6 directory',
    dockerfile: 'FROM base\nCOPY src/sub /a\nCOPY src/sub /b/c/\nCOPY src/sub src/empty /d/\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
    },
  },
  {
    name: 'empty',
    row: 'S6 directory',
    dockerfile: 'FROM base\nCOPY src/empty /e\nCOPY src/empty /f/\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
    },
  },
  {
    name: 'the whole context',
    row: 'S6 directory',
    dockerfile: 'FROM scratch\nCOPY . /\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
      '.hidden': 'h\n',
      '.dockerignore': 'Dockerfile\n',
    },
  },
  {
    name: 'all of a context, twice',
    row: 'S6 directory',
    dockerfile: 'FROM scratch\nCOPY . .\nCOPY / /all\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
    },
  },
  {
    name: 'onto a symlink to a directory',
    row: 'S6 directory',
    dockerfile: 'FROM base\nCOPY src /s\n',
    files: {
      'src/sbin/f': 'f\n',
    },
  },
  {
    name: 'whose child is a symlink in the image',
    row: 'S6 directory',
    dockerfile: 'FROM base\nCOPY root /\n',
    files: {
      'root/sbin/f': 'f\n',
    },
    expect: 'fails',
  },
  {
    name: 'a file over a directory',
    row: 'S6 kind',
    dockerfile: 'FROM base\nRUN mkdir -p /d/a.txt\nCOPY a.txt /d/\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'a directory over a file',
    row: 'S6 kind',
    dockerfile: 'FROM base\nCOPY src /etc/profile\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
    },
    expect: 'fails',
  },
  {
    name: 'a directory over a file below',
    row: 'S6 kind',
    dockerfile: 'FROM base\nCOPY x /etc\n',
    files: {
      'x/profile/f': 'f\n',
    },
    expect: 'fails',
  },
  {
    name: 'a file below a file',
    row: 'S6 kind',
    dockerfile: 'FROM base\nCOPY a.txt /etc/profile/x\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'a symlink over a file and a file over a symlink',
    row: 'S6 kind',
    dockerfile: 'FROM base\nRUN echo 1 > /d1 && mkdir /d && echo f > /d/l && ln -s f /d/f2\nCOPY dir /d\n',
    files: {
      'dir/l': {
        link: 'elsewhere',
      },
      'dir/f2': 'now a file\n',
    },
  },
  {
    name: 'a symlink over a directory',
    row: 'S6 kind',
    dockerfile: 'FROM base\nRUN mkdir -p /d/l\nCOPY dir /d\n',
    files: {
      'dir/l': {
        link: 'elsewhere',
      },
    },
    expect: 'fails',
  },
  {
    name: 'named pipes and sockets',
    row: 'S6 kind',
    dockerfile: 'FROM base\nCOPY dir /d\n',
    files: {
      'dir/f': 'f\n',
    },
    prepare: 'mkfifo -m 640 dir/pipe',
  },
  {
    name: 'below a directory that is not there',
    row: 'S6 wildcard',
    dockerfile: 'FROM base\nCOPY none/* /d/\n',
    expect: 'fails',
  },
  {
    name: 'below a directory of a stage that is not there',
    row: 'S6 wildcard',
    dockerfile: 'FROM base AS s\nFROM base\nCOPY --from=s /none/own/q* /d/\n',
    expect: 'fails',
  },
  {
    name: 'that matches nothing',
    row: 'S6 wildcard',
    dockerfile: 'FROM base AS s\nFROM base\nCOPY --from=s /etc/own-q* /d/\n',
  },
  {
    name: 'star, question mark and class',
    row: 'S6 wildcard',
    dockerfile: 'FROM base\nCOPY *.txt /1/\nCOPY ?.md /2/\nCOPY [!a-b]x /3/\nCOPY [a-b]x /4/\n',
    files: {
      'a.txt': 'a.txt',
      'b.txt': 'b.txt',
      'a.md': 'a.md',
      'ab.md': 'ab.md',
      ax: 'ax',
      bx: 'bx',
      cx: 'cx',
    },
  },
  {
    name: 'in a directory, of directories',
    row: 'S6 wildcard',
    dockerfile: 'FROM base\nCOPY d*/f /1/\nCOPY d* /2/\nCOPY */*/g /3/\n',
    files: {
      'd1/f': 'd1/f',
      'd2/f': 'd2/f',
      'd2/h': 'd2/h',
      'e/d/g': 'e/d/g',
      'x/f': 'x/f',
    },
  },
  {
    name: 'no match',
    row: 'S6 wildcard',
    dockerfile: 'FROM base\nCOPY none* /1/\nCOPY none* a.txt /2/\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'escaped',
    row: 'S6 wildcard',
    dockerfile: 'FROM base\nCOPY [[]x].txt /1/\nCOPY a\\*b /2/\nCOPY ["c\\\\*", "/3/"]\n',
    files: {
      '[x].txt': '1\n',
      'a*b': '2\n',
      aXb: '3\n',
      'c*': '4\n',
      cd: '5\n',
    },
  },
  {
    name: 'two stars are one',
    row: 'S6 wildcard',
    dockerfile: 'FROM base\nCOPY **/x /1/\nCOPY **.txt /2/\n',
    files: {
      x: 'x',
      'd/x': 'd/x',
      'd/e/x': 'd/e/x',
      'a.txt': 'a.txt',
      'd/b.txt': 'd/b.txt',
    },
  },
  {
    name: 'hidden files',
    row: 'S6 wildcard',
    dockerfile: 'FROM base\nCOPY * /1/\nCOPY .* /2/\n',
    files: {
      '.a': '1\n',
      b: '2\n',
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    },
  },
  {
    name: 'of links',
    row: 'S6 wildcard',
    dockerfile: 'FROM base\nCOPY l* /1/\n',
    files: {
      real: 'r\n',
      'dir/f': 'f\n',
      l1: {
        link: 'real',
      },
      l2: {
        link: 'dir',
      },
    },
  },
  {
    name: 'a wrong pattern',
    row: 'S6 wildcard',
    dockerfile: 'FROM base\nCOPY [a /1/\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'of a file, of a directory, in the middle',
    row: 'S6 source symlink',
    dockerfile: 'FROM base\nCOPY lf /1\nCOPY ld /2\nCOPY ld/f /3\nCOPY ld/ /4/\nCOPY chain /5\nCOPY abs /6\n',
    files: {
      real: 'r\n',
      'dir/f': 'f\n',
      'dir/in': {
        link: 'f',
      },
      lf: {
        link: 'real',
      },
      ld: {
        link: 'dir',
      },
      chain: {
        link: 'lf',
      },
      abs: {
        link: '/dir/f',
      },
    },
  },
  {
    name: 'inside a directory stays a link',
    row: 'S6 source symlink',
    dockerfile: 'FROM base\nCOPY dir /d\n',
    files: {
      'dir/f': 'f\n',
      'dir/rel': {
        link: 'f',
      },
      'dir/abs': {
        link: '/etc/passwd',
      },
      'dir/up': {
        link: '../../x',
      },
      'dir/dangling': {
        link: 'none',
      },
      'dir/d2': {
        link: '.',
      },
    },
  },
  {
    name: 'that leads out of the context',
    row: 'S6 source symlink',
    dockerfile: 'FROM base\nCOPY l /1\n',
    files: {
      'a.txt': 'a\n',
      l: {
        link: '../../../../a.txt',
      },
    },
  },
  {
    name: 'dangling',
    row: 'S6 source symlink',
    dockerfile: 'FROM base\nCOPY l /1\n',
    files: {
      l: {
        link: 'none',
      },
    },
    expect: 'fails',
  },
  {
    name: 'a loop',
    row: 'S6 source symlink',
    dockerfile: 'FROM base\nCOPY l /1\n',
    files: {
      l: {
        link: 'm',
      },
      m: {
        link: 'l',
      },
    },
    expect: 'fails',
  },
  {
    name: 'inside one directory and across sources',
    row: 'S6 hard links',
    dockerfile: 'FROM base\nCOPY dir /d\nCOPY dir/a dir/b /e/\nCOPY dir/* /f/\n',
    files: {
      'dir/a': 'a\n',
    },
    prepare: 'ln dir/a dir/b && mkdir dir/s && ln dir/a dir/s/c',
  },
  {
    name: 'in the image, one of them replaced',
    row: 'S6 hard links',
    dockerfile: 'FROM base\nRUN echo 1 > /1 && ln /1 /2 && touch -d @1400000000 /1\nCOPY a.txt /1\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'numbers',
    row: 'A2 COPY --chown',
    dockerfile:
      'FROM base\nCOPY --chown=1:2 src /1\nCOPY --chown=3 src /2\nCOPY --chown=0 a.txt /3/4/\nCOPY --chown=70000:4000000 a.txt /5\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
      'a.txt': 'a\n',
    },
  },
  {
    name: 'names',
    row: 'A2 COPY --chown',
    dockerfile:
      'FROM base\nCOPY --chown=app src /1\nCOPY --chown=app:video a.txt /2\nCOPY --chown=daemon:9 a.txt /3\nCOPY --chown=9:daemon a.txt /4\nCOPY --chown=root a.txt /5\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
      'a.txt': 'a\n',
    },
  },
  {
    name: 'an unknown user',
    row: 'A2 COPY --chown',
    dockerfile: 'FROM base\nCOPY --chown=stranger a.txt /1\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'an unknown group',
    row: 'A2 COPY --chown',
    dockerfile: 'FROM base\nCOPY --chown=app:strangers a.txt /1\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'names without passwd',
    row: 'A2 COPY --chown',
    dockerfile: 'FROM scratch\nCOPY --chown=app:app a.txt /1\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'root without passwd',
    row: 'A2 COPY --chown',
    dockerfile: 'FROM scratch\nCOPY --chown=root:root a.txt /1\nCOPY --chown=5:root a.txt /2\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'names made before',
    row: 'A2 COPY --chown',
    dockerfile:
      'FROM base\nRUN echo "me:x:321:432::/:" >> /etc/passwd && echo "us:x:543:" >> /etc/group\nCOPY --chown=me a.txt /1\nCOPY --chown=me:us a.txt /2\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'a group alone',
    row: 'A2 COPY --chown',
    dockerfile: 'FROM base\nCOPY --chown=:video a.txt /1\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'parents that are made and that are there',
    row: 'A2 COPY --chown',
    dockerfile:
      'FROM base\nRUN mkdir /there\nCOPY --chown=5:6 a.txt /there/a\nCOPY --chown=5:6 a.txt /new/deep/a\nCOPY --chown=5:6 src /there\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
      'a.txt': 'a\n',
    },
  },
  {
    name: 'too many parts',
    row: 'A2 COPY --chown',
    dockerfile: 'FROM base\nCOPY --chown=a:b:c a.txt /1\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'octal on files, directories and links',
    row: 'A2 COPY --chmod',
    dockerfile:
      'FROM base\nCOPY --chmod=0640 src /1\nCOPY --chmod=4755 a.txt /2\nCOPY --chmod=1777 src/sub /3\nCOPY --chmod=7 a.txt /4\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
      'a.txt': 'a\n',
      'src/l': {
        link: 'one',
      },
    },
  },
  {
    name: 'octal and new parents',
    row: 'A2 COPY --chmod',
    dockerfile:
      'FROM base\nCOPY --chmod=700 a.txt /new/deep/a\nCOPY --chmod=755 --chown=5:6 a.txt /new2/deep/\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'symbols',
    row: 'A2 COPY --chmod',
    dockerfile:
      'FROM base\nCOPY --chmod=+x src /1\nCOPY --chmod=u=rwX,go=rX src /2\nCOPY --chmod=go-rwx src /3\nCOPY --chmod=a+X,u+s src/sub/x.sh /4\nCOPY --chmod=g=u,o= a.txt /5/6/7\nCOPY --chmod=+t src/empty /8\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
      'a.txt': 'a\n',
    },
  },
  {
    name: 'not a mode',
    row: 'A2 COPY --chmod',
    dockerfile: 'FROM base\nCOPY --chmod=rw a.txt /1\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'too large',
    row: 'A2 COPY --chmod',
    dockerfile: 'FROM base\nCOPY --chmod=17777 a.txt /1\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'an octal digit that is none',
    row: 'A2 COPY --chmod',
    dockerfile: 'FROM base\nCOPY --chmod=789 a.txt /1\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'special bits of the source',
    row: 'A2 COPY --chmod',
    dockerfile: 'FROM base\nCOPY s /1\nCOPY s/suid /2\n',
    files: {
      's/suid': {
        text: 'x\n',
        mode: 0o4755,
      },
      's/d': {
        directory: true,
        mode: 0o2775,
      },
      's/t': {
        directory: true,
        mode: 0o1777,
      },
    },
  },
  {
    name: 'files and directories',
    row: 'A2 COPY --link',
    dockerfile: 'FROM base\nCOPY --link a.txt /l/a\nCOPY --link src /l/\nCOPY --link a.txt /tmp/\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
      'a.txt': 'a\n',
    },
  },
  {
    name: 'over what is there',
    row: 'A2 COPY --link',
    dockerfile:
      'FROM base\nRUN mkdir -p /d && echo old > /d/a.txt && echo keep > /d/keep && chmod 700 /d\nCOPY --link a.txt /d/a.txt\nCOPY --link src /d\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
      'a.txt': 'a\n',
    },
  },
  {
    name: 'over a symlink of the image',
    row: 'A2 COPY --link',
    dockerfile: 'FROM base\nCOPY --link a.txt /sbin/a.txt\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: '--chown numbers',
    row: 'A2 COPY --link',
    dockerfile: 'FROM base\nCOPY --link --chown=5:6 src /d\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
    },
  },
  {
    name: '--chown names',
    row: 'A2 COPY --link',
    dockerfile: 'FROM base\nCOPY --link --chown=app a.txt /d/\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: '--chmod',
    row: 'A2 COPY --link',
    dockerfile: 'FROM base\nCOPY --link --chmod=600 a.txt /d/a\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'relative and from a stage',
    row: 'A2 COPY --link',
    dockerfile:
      'FROM base AS a\nRUN mkdir /o && echo 1 > /o/f && chown 5:6 /o/f\nFROM base\nWORKDIR /w\nCOPY --link --from=a /o/f f\nCOPY --link --from=a /o ./d\n',
  },
  {
    name: 'a path, a directory, two',
    row: 'A2 COPY --parents',
    dockerfile: 'FROM base\nCOPY --parents a/b/c.txt top.txt /1/\nCOPY --parents a x/y /2/\n',
    files: {
      'a/b/c.txt': 'a/b/c.txt',
      'a/b/d.txt': 'a/b/d.txt',
      'a/e.txt': 'a/e.txt',
      'x/y/z.txt': 'x/y/z.txt',
      'top.txt': 'top.txt',
    },
    newer: 'COPY --parents',
  },
  {
    name: 'the pivot',
    row: 'A2 COPY --parents',
    dockerfile: 'FROM base\nCOPY --parents a/./b/c.txt /1/\nCOPY --parents ./a/b/./d.txt x/./y /2/\n',
    files: {
      'a/b/c.txt': 'a/b/c.txt',
      'a/b/d.txt': 'a/b/d.txt',
      'a/e.txt': 'a/e.txt',
      'x/y/z.txt': 'x/y/z.txt',
      'top.txt': 'top.txt',
    },
    newer: 'COPY --parents',
  },
  {
    name: 'wildcards',
    row: 'A2 COPY --parents',
    dockerfile:
      'FROM base\nCOPY --parents */*/*.txt /1/\nCOPY --parents **/*.txt /2/\nCOPY --parents ./a/./** /3/\n',
    files: {
      'a/b/c.txt': 'a/b/c.txt',
      'a/b/d.txt': 'a/b/d.txt',
      'a/e.txt': 'a/e.txt',
      'x/y/z.txt': 'x/y/z.txt',
      'top.txt': 'top.txt',
    },
    newer: 'COPY --parents',
  },
  {
    name: 'modes of the directories',
    row: 'A2 COPY --parents',
    dockerfile: 'FROM base\nCOPY --parents a/b/c.txt /1/\n',
    files: {
      'a/b/c.txt': {
        text: '1',
        mode: 0o600,
      },
      'a/b': {
        directory: true,
        mode: 0o700,
      },
      a: {
        directory: true,
        mode: 0o711,
      },
    },
    newer: 'COPY --parents',
  },
  {
    name: '--exclude, --chown and --chmod',
    row: 'A2 COPY --parents',
    dockerfile: 'FROM base\nCOPY --parents --exclude=**/d.txt --chown=5:6 --chmod=700 a /1/\n',
    files: {
      'a/b/c.txt': 'a/b/c.txt',
      'a/b/d.txt': 'a/b/d.txt',
      'a/e.txt': 'a/e.txt',
      'x/y/z.txt': 'x/y/z.txt',
      'top.txt': 'top.txt',
    },
    newer: 'COPY --parents',
  },
  {
    name: 'is not there',
    row: 'A2 COPY --parents',
    dockerfile: 'FROM base\nCOPY --parents a/none /1/\n',
    files: {
      'a/b/c.txt': 'a/b/c.txt',
      'a/b/d.txt': 'a/b/d.txt',
      'a/e.txt': 'a/e.txt',
      'x/y/z.txt': 'x/y/z.txt',
      'top.txt': 'top.txt',
    },
    expect: 'fails',
    newer: 'COPY --parents',
  },
  {
    name: 'from a stage',
    row: 'A2 COPY --parents',
    dockerfile:
      'FROM base AS s\nRUN mkdir -p /o/p/q && echo 1 > /o/p/q/f && chown -R 5:6 /o && chmod 700 /o/p\nFROM scratch\nCOPY --from=s --parents /o/p/q/f /1/\nCOPY --from=s --parents /o/./p /2/\n',
    newer: 'COPY --parents',
  },
  {
    name: 'a stage by name, number and case',
    row: 'A2 COPY --from',
    dockerfile:
      'FROM base AS One\nRUN mkdir -p /o/d && echo 1 > /o/f && chown 5:6 /o/f /o/d && ln -s f /o/l && touch -d @1400000000 /o/f\nFROM base\nCOPY --from=one /o /1\nCOPY --from=0 /o/f /2\nCOPY --from=ONE /o/d /3\nCOPY --from=one o/l /4\n',
  },
  {
    name: '--chown and --chmod',
    row: 'A2 COPY --from',
    dockerfile:
      'FROM base AS one\nRUN mkdir -p /o/d && echo 1 > /o/f && chown 5:6 /o /o/f && chmod 4711 /o/f\nFROM base\nCOPY --from=one --chown=app /o /1\nCOPY --from=one --chmod=640 /o /2\nCOPY --from=one /o /n/3\n',
  },
  {
    name: 'an image',
    row: 'A2 COPY --from',
    dockerfile: 'FROM scratch\nCOPY --from=base /etc/passwd /etc/group /e/\nCOPY --from=base /tmp /t\n',
  },
  {
    name: 'WORKDIR of the stage does not count',
    row: 'A2 COPY --from',
    dockerfile:
      'FROM base AS one\nWORKDIR /w\nRUN echo 1 > f && echo 2 > /f\nFROM base\nCOPY --from=one f /1\n',
  },
  {
    name: 'absolute links stay in the stage',
    row: 'A2 COPY --from',
    dockerfile:
      'FROM base AS one\nRUN mkdir /o && echo in > /o/f && ln -s /o/f /l && ln -s /o /ld && ln -s ../../../o /up\nFROM base\nCOPY --from=one /l /1\nCOPY --from=one /ld /2\nCOPY --from=one /up/f /3\n',
  },
  {
    name: 'a number that is none',
    row: 'A2 COPY --from',
    dockerfile: 'FROM base\nCOPY --from=5 /etc/profile /\n',
    expect: 'fails',
  },
  {
    name: 'itself',
    row: 'A2 COPY --from',
    dockerfile: 'FROM base AS me\nCOPY --from=me /etc/profile /\n',
    expect: 'fails',
  },
  {
    name: 'a later stage',
    row: 'A2 COPY --from',
    dockerfile: 'FROM base AS a\nCOPY --from=b /etc/profile /p\nFROM base AS b\n',
  },
  {
    name: 'something that is not there',
    row: 'A2 COPY --from',
    dockerfile: 'FROM base AS one\nFROM base\nCOPY --from=one /none /\n',
    expect: 'fails',
  },
  {
    name: 'whiteouts and a root',
    row: 'A2 COPY --from',
    dockerfile:
      'FROM base AS one\nRUN rm /etc/profile && mkdir /x && echo 1 > /x/y\nFROM scratch\nCOPY --from=one /etc /e\nCOPY --from=one /x/. /\n',
  },
  {
    name: 'a directory that is there',
    row: 'S6 times',
    dockerfile:
      'FROM base\nRUN mkdir -p /d/sub && touch -d @1400000000 /d/sub /d\nCOPY src /d\nCOPY a.txt /d/\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
      'a.txt': 'a\n',
    },
  },
  {
    name: 'a new directory of one file, of a tree',
    row: 'S6 times',
    dockerfile: 'FROM scratch\nCOPY a.txt /d/\nCOPY src /t/t\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
      'a.txt': 'a\n',
    },
  },
  {
    name: 'of the context is root',
    row: 'S6 owner',
    dockerfile: 'FROM base\nUSER app\nCOPY src /s\nCOPY a.txt /made/\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
      'a.txt': 'a\n',
    },
    prepare: 'chown -R 77:88 src a.txt',
  },
  {
    name: 'blanks, unicode and long ones',
    row: 'S6 names',
    dockerfile: 'FROM base\nCOPY dir /d\n',
    files: {
      'dir/a b': '1\n',
      'dir/é': '2\n',
      'dir/nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn/mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm':
        '3\n',
      'dir/-x': '4\n',
      'dir/l': {
        link: 'tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt',
      },
    },
  },
  {
    name: 'empty, large and binary',
    row: 'S6 contents',
    dockerfile: 'FROM base\nCOPY dir /d\n',
    files: {
      'dir/empty': '',
      'dir/f': 'x',
    },
    prepare: 'head -c 300000 /dev/zero > dir/zeros && truncate -s 200000 dir/sparse',
  },
  {
    name: 'the same file twice',
    row: 'S6 image',
    dockerfile: 'FROM base\nCOPY a.txt /\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'an unchanged directory',
    row: 'S6 image',
    dockerfile: 'FROM base\nCOPY src /s\nCOPY src /s\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': {
        text: '2\n',
        mode: 0o600,
      },
      'src/sub/x.sh': {
        text: '#!/bin/sh\n',
        mode: 0o755,
      },
      'src/sub': {
        directory: true,
        mode: 0o750,
      },
      'src/empty': {
        directory: true,
        mode: 0o711,
      },
    },
  },
  {
    name: 'a file of the base, the same name',
    row: 'S6 image',
    dockerfile: 'FROM base\nCOPY os-release /etc/\nCOPY passwd /etc/passwd\n',
    files: {
      'os-release': 'ID=own\n',
      passwd: 'root:x:0:0::/:/bin/sh\n',
    },
  },
];
