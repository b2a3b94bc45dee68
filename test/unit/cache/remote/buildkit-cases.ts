import type { ContextEntry } from '../../../kit/context.js';

/** Stands for the name of the base image. */
export const BASE = 'BASE';

/** The context of every case. */
export const CASE_CONTEXT: Readonly<Record<string, ContextEntry>> = {
  a: 'one\n',
  'b.txt': 'two\n',
  empty: '',
  link: { link: 'a' },
  'dir/x': { text: '#!/bin/sh\n', mode: 0o755 },
  'dir/z.go': 'z\n',
  'dir/sub/y.go': 'y\n',
  'dir/sub/set': { text: 'set\n', mode: 0o4711 },
  'dir.d/q': 'q\n',
  'dir-e': 'e\n',
  'é.md': 'accent\n',
  'tree/A/1': '1\n',
  'tree/a/2': { text: '2\n', mode: 0o600 },
  'tree/b/link': { link: '../a' },
  'tree/b/broken': { link: 'nowhere' },
  'tree/sp ace/4': '4\n',
  'tree/z/\u{1f600}': 'beyond 16 bits\n',
  'tree/z/\uff5a': 'below\n',
};

/** Dockerfiles whose every step a cache of BuildKit has, as it was recorded: scripts/record-buildkit-cache.ts. */
export const BUILDKIT_CASES: Readonly<Record<string, string>> = {
  'RUN as it is': `FROM ${BASE}
RUN echo hi > /hi
RUN ["echo", "exec"]
RUN true && echo "<&>\u2028é" || false
SHELL ["/bin/sh", "-ec"]
RUN echo shell
RUN echo a; \\
    echo b`,
  'variables, users, directories': `FROM ${BASE}
ENV A=b C="d e<>&"
ARG X=1
ARG Y
ARG A=arg
RUN echo $A $X
WORKDIR /w
RUN pwd
WORKDIR rel
USER app
RUN id
WORKDIR /owned
USER 1000:1000
WORKDIR /owned/2
RUN id
USER app:app
WORKDIR /owned/3
ENV PATH=/x:$PATH
RUN true`,
  'COPY of files': `FROM ${BASE}
COPY a /a
COPY a b.txt /to/
COPY empty /empty
COPY link /followed
COPY é.md /é.md
WORKDIR /w
COPY a .
COPY a ./
COPY a d/
COPY a ../up
COPY a /dot/.
COPY . .
COPY ["a", "b.txt", "/json/"]`,
  'COPY of directories': `FROM ${BASE}
COPY dir /dir
COPY dir/ /dir2/
COPY dir/sub /sub
COPY . /all/
COPY dir dir.d /both/
COPY dir/sub dir /below/
COPY dir dir/x /inside/`,
  'COPY with wildcards': `FROM ${BASE}
COPY *.txt /w/
COPY di* /w2/
COPY dir/*.go /w3/
COPY dir/s?b /w4/
COPY dir/*/y.go /w5/
COPY [ab]* /w6/
COPY nothing* a /w7/
COPY *.md *.txt /w8/
COPY l*k /w9/`,
  'names and links in directories': `FROM ${BASE}
COPY tree /t1
COPY tree/*/ /t2/
COPY tree/b/l* /t3/
COPY tree/[a-z]* /t4/
COPY tree/b/link /t5
COPY tree/z/* /t6/
COPY --exclude=**/*1 tree /t7
COPY --exclude=A/** tree /t8
COPY ./tree/../tree/A/./1 /t9
COPY [a-l]* /t10/
COPY --exclude=tree/b . /t11
COPY --exclude=* --exclude=!tree/a/2 . /t12
COPY d*/ /t13/
RUN --mount=source=tree,target=/c ls /c`,
  'COPY with owners and modes': `FROM ${BASE}
COPY --chown=1000:1000 a /c1
COPY --chown=app a /c2
COPY --chown=app:app dir /c3
COPY --chown=0 a /c4
COPY --chown=app:7 a b.txt /c5/
COPY --chmod=755 a /m1
COPY --chmod=0 a /m2
COPY --chmod=u=rwX,go=rX dir /m3
COPY --chown=3:4 --chmod=0640 a /m4`,
  'COPY without some files': `FROM ${BASE}
COPY --exclude=*.go dir /e1
COPY --exclude=sub dir /e2
COPY --exclude=sub --exclude=!sub/y.go dir /e3
COPY --exclude=dir . /e4/
COPY --exclude=*.go dir* /e5/`,
  'COPY --link': `FROM ${BASE}
COPY --link a /l1
COPY --link --chown=1:2 dir /l2
FROM scratch
COPY --link a /l3
COPY --link b.txt /l4`,
  'FROM scratch': `FROM scratch
COPY a /a
COPY a b.txt /to/
WORKDIR /w
ADD dir /dir`,
  'ADD of local files': `FROM ${BASE}
ADD a /a
ADD dir /dir
ADD a b.txt /to/
ADD --chown=5 --chmod=600 a /b`,
  heredocs: `FROM ${BASE}
RUN <<E
echo hi
E
RUN <<E
#!/bin/sh
echo script
E
RUN cat <<E > /made
text
E
COPY <<F /f
some text $PATH
F
COPY <<F1 <<F2 a /fs/
one
F1
two
F2
COPY --chown=1:1 --chmod=777 <<"F" /g
kept $PATH
F`,
  'mounts of the context': `FROM ${BASE}
RUN --mount=type=bind,target=/ctx ls /ctx
RUN --mount=type=bind,source=dir,target=/ctx ls /ctx
RUN --mount=target=/ctx,rw touch /ctx/made
RUN --mount=type=bind,source=a,target=/a --mount=type=bind,source=dir,target=/B ls /a
WORKDIR /w
RUN --mount=source=dir/sub,target=here ls here`,
  'mounts of caches, secrets, agents': `FROM ${BASE}
RUN --mount=type=cache,target=/c1 ls /c1
RUN --mount=type=cache,id=foo,target=/c1 ls /c1
RUN --mount=type=cache,target=/c1,sharing=locked ls /c1
RUN --mount=type=cache,target=/c1,uid=1000,mode=0700 ls /c1
RUN --mount=type=tmpfs,target=/t ls /t
RUN --mount=type=tmpfs,target=/t,size=1m ls /t
RUN --mount=type=secret,id=s true
RUN --mount=type=secret,id=s,target=/x/y,uid=5,mode=0444 true
RUN --mount=type=secret,id=s,env=SECRET true
RUN --mount=type=ssh true
RUN --mount=type=ssh,target=/agent,uid=7 true
RUN --network=none true`,
  stages: `FROM ${BASE} AS one
RUN mkdir -p /o/d; echo hi > /o/f; ln -s f /o/l
FROM one AS two
RUN echo two > /o/two
FROM ${BASE}
COPY --from=one /o/f /f
COPY --from=one /o /o
COPY --from=two /o/* /p/
COPY --from=one /o/f /o/l /several/
COPY --from=${BASE} /etc/passwd /passwd
COPY --link --from=two /o /linked
RUN --mount=from=one,target=/s ls /s
RUN --mount=type=bind,from=two,source=/o,target=/s ls /s
RUN --mount=type=cache,from=one,source=/o,target=/s ls /s`,
};
