import type { OwnCase } from './case.js';

export const ADD_CASES: readonly OwnCase[] = [
  {
    name: 'a file, a directory and a wildcard',
    row: 'A2 ADD',
    dockerfile: 'FROM base\nADD a.txt /1\nADD src /2\nADD src/* *.txt /3/\n',
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
    name: 'is not there',
    row: 'A2 ADD',
    dockerfile: 'FROM base\nADD none /1\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: '--chown, --chmod, --link and --exclude',
    row: 'A2 ADD',
    dockerfile:
      'FROM base\nADD --chown=app --chmod=600 a.txt /1\nADD --link src /2\nADD --exclude=sub src /3\n',
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
    name: '--from is not one of its flags',
    row: 'A2 ADD',
    dockerfile: 'FROM base AS a\nFROM base\nADD --from=a /etc/profile /\n',
    expect: 'fails',
  },
  {
    name: '--parents is not one of its flags',
    row: 'A2 ADD',
    dockerfile: 'FROM base\nADD --parents a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'plain and gz, bz2, xz',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD p.tar /1\nADD g.tgz /2/\nADD b.tbz /3\nADD x.txz /4\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare:
      'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && gzip -nc p.tar > g.tgz && bzip2 -c p.tar > b.tbz && xz -c p.tar > x.txz && rm -r in',
  },
  {
    name: 'zstd',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD z.tar.zst /1\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare:
      'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && zstd -q p.tar -o z.tar.zst && rm -r in p.tar',
  },
  {
    name: 'by content, not by name',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD data.bin /1\nADD not.tar /2\nADD not.tar.gz /3/\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
      'not.tar': 'no archive\n',
      'not.tar.gz': 'no gzip\n',
    },
    prepare:
      'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf data.bin -C in . && rm -r in',
  },
  {
    name: 'gzip of a text is not unpacked',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD text.gz /1/\nADD empty.tar /2/\n',
    files: {
      text: 'text\n',
      'empty.tar': '',
    },
    prepare: 'gzip -nk text && rm text',
  },
  {
    name: 'an archive without entries',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD none.tar /1/\n',
    prepare: 'head -c 10240 /dev/zero > none.tar',
  },
  {
    name: 'owners, modes, times and links',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD p.tar /1\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare:
      'ln -s a in/soft && ln in/a in/hard && ln -s /etc/passwd in/abs && chown 12:34 in/a && chown 99:98 in/dir && chmod 4755 in/dir/c && chmod 1777 in/empty && mkfifo in/pipe && tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && rm -r in',
  },
  {
    name: '--chown',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD --chown=app:video p.tar /1\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare:
      'chown 12:34 in/a && ln -s a in/soft && tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && rm -r in',
  },
  {
    name: '--chmod',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD --chmod=600 p.tar /1\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare: 'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && rm -r in',
  },
  {
    name: '--link',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD --link p.tar /1\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare: 'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && rm -r in',
  },
  {
    name: '--unpack=false and --unpack',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD --unpack=false g.tgz /1/\nADD --unpack g.tgz /2/\nADD --unpack a.txt /3\n',
    files: {
      'a.txt': 'a\n',
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare:
      'mkdir t && tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf g.tgz -C in . && rm -r in t',
  },
  {
    name: 'several and a file',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD p.tar q.tar a.txt /1/\n',
    files: {
      'a.txt': 'a\n',
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare:
      'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in a && tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf q.tar -C in dir && rm -r in',
  },
  {
    name: 'a wildcard',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD *.tar /1/\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare:
      'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in a && tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf q.tar -C in dir && rm -r in',
  },
  {
    name: 'through a symlink',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD l.tar /1/\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare:
      'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in a && ln -s p.tar l.tar && rm -r in',
  },
  {
    name: 'in a directory is not unpacked',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD d /1\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare:
      'mkdir d && tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf d/p.tar -C in a && rm -r in',
  },
  {
    name: 'COPY does not unpack',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nCOPY p.tar /1/\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare:
      'ln -s a in/s && tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner --owner=0 --group=0 -cf p.tar -C in s && rm -r in',
  },
  {
    name: 'into what is there',
    row: 'A2 ADD tar',
    dockerfile:
      'FROM base\nRUN mkdir -p /d/dir && echo old > /d/a && echo old > /d/dir/keep && chmod 700 /d/dir && chown 7:7 /d /d/dir && touch -d @1400000000 /d/dir/keep\nADD p.tar /d\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare: 'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && rm -r in',
  },
  {
    name: 'replaces files by directories and back',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nRUN mkdir -p /d/a && echo x > /d/dir && echo y > /d/a/f\nADD p.tar /d\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare: 'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && rm -r in',
  },
  {
    name: 'through a symlinked directory of the image',
    row: 'A2 ADD tar',
    dockerfile:
      'FROM base\nRUN mkdir /real && ln -s real /l && mkdir -p /d /r2 && ln -s /r2 /d/dir\nADD p.tar /l\nADD p.tar /d\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare: 'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && rm -r in',
  },
  {
    name: 'relative to WORKDIR and to the root',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nWORKDIR /w\nADD p.tar .\nADD p.tar /\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare:
      'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in a dir && rm -r in',
  },
  {
    name: 'names that lead out',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD p.tar /d/\n',
    files: {
      'x/a': 'a\n',
      'x/y/z': 'z\n',
    },
    prepare:
      'cd x/y && tar -P --format=gnu --mtime=@1300000000 --numeric-owner -cf ../../p.tar ../a z && cd ../.. && rm -r x',
    expect: 'fails',
  },
  {
    name: 'absolute names',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD p.tar /d/\n',
    files: {
      'x/a': 'a\n',
    },
    prepare:
      "tar --format=gnu --mtime=@1300000000 --numeric-owner --transform 's,^x,/abs,' -P -cf p.tar x && rm -r x",
  },
  {
    name: 'long names, pax and unicode',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD p.tar /1\nADD g.tar /2\n',
    files: {
      'in/llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll/kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk':
        '1\n',
      'in/é': '2\n',
      'in/s': {
        link: 'tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt',
      },
    },
    prepare:
      'tar --format=pax --pax-option=delete=atime,delete=ctime --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf g.tar -C in . && rm -r in',
  },
  {
    name: 'whiteout names',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD p.tar /etc\n',
    files: {
      'in/.wh.profile': '',
      'in/new': 'n\n',
    },
    prepare: 'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && rm -r in',
  },
  {
    name: 'cut off',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD p.tar /d\n',
    files: {
      'in/a': 'a\n',
    },
    prepare:
      'head -c 9000 /dev/zero > in/z && tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf t -C in a z && head -c 4000 t > p.tar && rm -r in t',
    expect: 'fails',
  },
  {
    name: 'devices',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD p.tar /d\n',
    files: {
      'in/a': 'a\n',
    },
    prepare:
      'mknod in/null c 1 3 && mknod in/disk b 7 0 && tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in . && rm -r in',
  },
  {
    name: 'to a name without a slash',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD p.tar /new\nADD p.tar /etc/profile.d\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare: 'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in a && rm -r in',
  },
  {
    name: 'onto a file',
    row: 'A2 ADD tar',
    dockerfile: 'FROM base\nADD p.tar /etc/profile\n',
    files: {
      'in/a': 'a\n',
      'in/dir/b': {
        text: 'b\n',
        mode: 0o640,
      },
      'in/dir/c': {
        text: 'c\n',
        mode: 0o755,
      },
      'in/empty': {
        directory: true,
        mode: 0o700,
      },
    },
    prepare: 'tar --format=gnu --sort=name --mtime=@1300000000 --numeric-owner -cf p.tar -C in a && rm -r in',
    expect: 'fails',
  },
];
