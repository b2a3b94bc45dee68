import type { OwnCase } from './case.js';

export const RUN_CASES: readonly OwnCase[] = [
  {
    name: 'shell and exec forms',
    row: 'A2 RUN',
    dockerfile:
      'FROM base\nRUN echo "a  b" > /1 && echo \'$HOME\' >> /1\nRUN ["/bin/sh", "-c", "echo $0 $1 > /2", "zero", "one two"]\nRUN ["touch", "/a b", "-d", "@1400000000"]\n',
  },
  {
    name: 'fails',
    row: 'A2 RUN',
    dockerfile: 'FROM base\nRUN exit 3\n',
    expect: 'fails',
  },
  {
    name: 'a program that is not there',
    row: 'A2 RUN',
    dockerfile: 'FROM base\nRUN ["/none"]\n',
    expect: 'fails',
  },
  {
    name: 'on scratch',
    row: 'A2 RUN',
    dockerfile: 'FROM scratch\nRUN echo\n',
    expect: 'fails',
  },
  {
    name: 'one that changes nothing',
    row: 'A2 RUN',
    dockerfile: 'FROM base\nRUN true\n',
  },
  {
    name: 'deletes, replaces and renames',
    row: 'A2 RUN',
    dockerfile:
      'FROM base\nRUN mkdir -p /d/e && echo 1 > /d/e/f && touch -d @1400000000 /d/e/f && echo 2 > /d/g\nRUN rm /d/e/f && mv /d/g /d/h && rm -r /etc/profile && mkdir /etc/profile && rm -r /home && ln -s tmp /home\nRUN rm -r /d/e && mkdir /d/e && echo new > /d/e/n\n',
  },
  {
    name: 'modes, owners and links',
    row: 'A2 RUN',
    dockerfile:
      'FROM base\nRUN echo 1 > /f && chmod 4711 /f && chown 5:6 /f && ln /f /h && ln -s f /s && chown -h 7:8 /s && mkfifo -m 600 /p && mkdir -m 2770 /d && chmod 700 /tmp\n',
  },
  {
    name: 'changes only the mode, only the owner, only the time',
    row: 'A2 RUN',
    dockerfile:
      'FROM base\nRUN chmod 600 /etc/profile\nRUN chown 5 /etc/group\nRUN touch -d @1400000000 /etc/passwd\nRUN chmod 711 /usr\n',
  },
  {
    name: 'hard links to a file of the base',
    row: 'A2 RUN',
    dockerfile: 'FROM base\nRUN ln /etc/profile /etc/profile2\n',
  },
  {
    name: 'appends to a file of the base',
    row: 'A2 RUN',
    dockerfile: 'FROM base\nRUN echo more >> /etc/profile\n',
  },
  {
    name: 'writes and takes back',
    row: 'A2 RUN',
    dockerfile: 'FROM base\nRUN echo x > /x\nRUN rm /x\nRUN echo x > /y && rm /y\n',
  },
  {
    name: 'user, groups, HOME and directory',
    row: 'S7 RUN',
    dockerfile:
      'FROM base\nRUN echo "$HOME $(id -u) $(id -g) $(id -G) $(pwd)" > /tmp/0\nUSER app\nRUN echo "$HOME $(id -u) $(id -g) $(id -G)" > /tmp/1\nUSER 1000\nRUN echo "$HOME $(id -u) $(id -g) $(id -G)" > /tmp/2\nUSER 4242\nRUN echo "$HOME $(id -u) $(id -g) $(id -G)" > /tmp/3\nUSER app:video\nRUN echo "$HOME $(id -u) $(id -g) $(id -G)" > /tmp/4\nUSER 5:6\nRUN echo "$HOME $(id -u) $(id -g) $(id -G)" > /tmp/5\nUSER nobody\nRUN echo "$HOME $(id -u)" > /tmp/6\n',
  },
  {
    name: 'an unknown user',
    row: 'S7 RUN',
    dockerfile: 'FROM base\nUSER stranger\nRUN true\n',
    expect: 'fails',
  },
  {
    name: 'an unknown group',
    row: 'S7 RUN',
    dockerfile: 'FROM base\nUSER app:strangers\nRUN true\n',
    expect: 'fails',
  },
  {
    name: 'HOME of ENV',
    row: 'S7 RUN',
    dockerfile: 'FROM base\nENV HOME=/h\nUSER app\nRUN echo $HOME > /tmp/1\n',
  },
  {
    name: 'environment',
    row: 'S7 RUN',
    dockerfile:
      'FROM base\nENV A=1\nARG B=2\nRUN env | grep -v -e ^PWD -e ^SHLVL -e ^OLDPWD -e ^HOSTNAME | sort > /env\nRUN ["env"]\n',
  },
  {
    name: 'hostname and hosts',
    row: 'S7 RUN',
    dockerfile:
      'FROM base\nRUN hostname > /h; grep -c localhost /etc/hosts > /n; ls -l /etc/hosts /etc/resolv.conf | wc -l >> /n\n',
  },
  {
    name: 'mount points leave nothing behind',
    row: 'S7 RUN',
    dockerfile:
      'FROM scratch AS empty\nFROM base\nRUN rmdir /dev /proc /sys 2>/dev/null; ls -d /dev/null /proc/self /sys/class > /seen\n',
  },
  {
    name: 'umask, limits of the shell and standard input',
    row: 'S7 RUN',
    dockerfile: 'FROM base\nRUN umask > /1; cat > /2; test -t 0 || echo no terminal > /3\n',
  },
  {
    name: '--add-host',
    row: 'S7 RUN',
    dockerfile: 'FROM base\nRUN grep own.test /etc/hosts | tr "\\t" " " > /h\n',
    options: ['--add-host', 'own.test:10.1.2.3'],
  },
  {
    name: '--shm-size and --ulimit',
    row: 'S7 RUN',
    dockerfile:
      "FROM base\nRUN df -k /dev/shm | tail -1 | awk '{print $2}' > /shm; ulimit -n > /n; ulimit -Hn >> /n\n",
    options: ['--shm-size', '128m', '--ulimit', 'nofile=1000:2000'],
  },
  {
    name: 'the context, a file, a directory',
    row: 'A3 bind',
    dockerfile:
      'FROM base\nRUN --mount=target=/ctx ls -A /ctx /ctx/src > /1\nRUN --mount=type=bind,source=a.txt,target=/x/y/f cat /x/y/f > /2\nRUN --mount=source=src,dst=/s cat /s/one > /3; ls -d /s /x > /4 2>/dev/null; true\n',
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
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    },
  },
  {
    name: 'is read-only',
    row: 'A3 bind',
    dockerfile: 'FROM base\nRUN --mount=target=/ctx echo x > /ctx/new\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'rw, what is written is lost',
    row: 'A3 bind',
    dockerfile:
      'FROM base\nRUN --mount=target=/ctx,rw echo x > /ctx/new && ls /ctx > /list\nRUN --mount=target=/ctx,readwrite ls /ctx > /list2\n',
    files: {
      'a.txt': 'a\n',
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    },
  },
  {
    name: 'from a stage and an image',
    row: 'A3 bind',
    dockerfile:
      'FROM base AS s\nRUN mkdir /o && echo 1 > /o/f\nFROM base\nRUN --mount=from=s,source=/o,target=/m cat /m/f > /1\nRUN --mount=type=bind,from=base,target=/b cat /b/etc/os-release > /2\nRUN --mount=from=s,src=o/f,destination=/m2 cat /m2 > /3\n',
  },
  {
    name: 'a stage by its number is an image',
    row: 'A3 bind',
    dockerfile: 'FROM base AS s\nFROM base\nRUN --mount=from=0,target=/m true\n',
    expect: 'fails',
  },
  {
    name: 'a relative target',
    row: 'A3 bind',
    dockerfile: 'FROM base\nWORKDIR /w\nRUN --mount=target=sub,source=a.txt cat sub > out\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'over a directory of the image',
    row: 'A3 bind',
    dockerfile: 'FROM base\nRUN --mount=target=/etc,source=src ls /etc > /list\n',
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
    name: 'a source that is not there',
    row: 'A3 bind',
    dockerfile: 'FROM base\nRUN --mount=source=none,target=/m true\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'target of the root',
    row: 'A3 bind',
    dockerfile: 'FROM base\nRUN --mount=target=/ true\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'without a target',
    row: 'A3 bind',
    dockerfile: 'FROM base\nRUN --mount=type=bind true\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'from a stage that is not defined yet',
    row: 'A3 bind',
    dockerfile: 'FROM base AS a\nRUN --mount=from=b,target=/m true\nFROM base AS b\n',
  },
  {
    name: 'kept between steps, not in the image',
    row: 'A3 cache',
    dockerfile:
      'FROM base\nRUN --mount=type=cache,target=/c,id=own-cache-1 rm -rf /c/*; echo 1 > /c/f\nRUN --mount=type=cache,target=/d,id=own-cache-1 cat /d/f > /1; ls -d /c > /2 2>&1 || true\n',
  },
  {
    name: 'mode, uid and gid',
    row: 'A3 cache',
    dockerfile:
      'FROM base\nRUN --mount=type=cache,target=/c,id=own-cache-2,mode=0711,uid=5,gid=6 stat -c "%a %u %g" /c > /1\nUSER app\nRUN --mount=type=cache,target=/e,id=own-cache-3,uid=1000 touch /e/x && ls /e > /tmp/2\n',
  },
  {
    name: 'read-only and sharing',
    row: 'A3 cache',
    dockerfile:
      'FROM base\nRUN --mount=type=cache,target=/c,id=own-cache-4,sharing=locked --mount=type=cache,target=/p,id=own-cache-5,sharing=private echo x > /c/f\nRUN --mount=type=cache,target=/c,id=own-cache-4,ro,sharing=locked touch /c/g 2>/dev/null || echo refused > /1\n',
  },
  {
    name: 'from a stage',
    row: 'A3 cache',
    dockerfile:
      'FROM base AS s\nRUN mkdir /seed && echo 1 > /seed/f\nFROM base\nRUN --mount=type=cache,from=s,source=/seed,target=/c,id=own-cache-6 cat /c/f > /1\n',
  },
  {
    name: 'an unknown sharing',
    row: 'A3 cache',
    dockerfile: 'FROM base\nRUN --mount=type=cache,target=/c,sharing=other true\n',
    expect: 'fails',
  },
  {
    name: 'empty, gone afterwards',
    row: 'A3 tmpfs',
    dockerfile:
      "FROM base\nRUN --mount=type=tmpfs,target=/tmp/t,size=4m echo x > /tmp/t/f && df -k /tmp/t | tail -1 | awk '{print $1, $2}' > /1\nRUN --mount=type=tmpfs,target=/etc ls /etc | wc -l > /2\n",
  },
  {
    name: 'file, mode, owner and place',
    row: 'A3 secret',
    dockerfile:
      'FROM base\nRUN --mount=type=secret,id=s cat /run/secrets/s > /1; stat -c "%a %u %g" /run/secrets/s > /2\nRUN --mount=type=secret,id=s,target=/x/y,mode=0440,uid=5,gid=6 cat /x/y > /3; stat -c "%a %u %g" /x/y > /4\nRUN ls -d /run/secrets /x > /5 2>/dev/null || true\n',
    options: ['--secret', 'id=s,env=OWN_SECRET'],
    env: {
      OWN_SECRET: 'hidden',
    },
  },
  {
    name: 'of a file, relative target',
    row: 'A3 secret',
    dockerfile:
      'FROM base\nWORKDIR /w\nRUN --mount=type=secret,id=s,target=in/s cat in/s > /1\nRUN --mount=type=secret,source=s cat /run/secrets/s > /2\nRUN --mount=type=secret,target=/q/s cat /q/s > /3\n',
    files: {
      'secret.txt': 'from a file\n',
    },
    options: ['--secret', 'id=s,src=secret.txt'],
  },
  {
    name: 'in the environment',
    row: 'A3 secret',
    dockerfile:
      'FROM base\nRUN --mount=type=secret,id=s,env=S echo "$S" > /1; ls /run/secrets > /2 2>/dev/null || echo none > /2\nRUN --mount=type=secret,id=s,env=S,target=/t echo "$S $(cat /t)" > /3\n',
    options: ['--secret', 'id=s,env=OWN_SECRET'],
    env: {
      OWN_SECRET: 'hidden',
    },
  },
  {
    name: 'not given',
    row: 'A3 secret',
    dockerfile:
      'FROM base\nRUN --mount=type=secret,id=none ls /run/secrets/none > /1 2>/dev/null || echo absent > /1\n',
  },
  {
    name: 'required and not given',
    row: 'A3 secret',
    dockerfile: 'FROM base\nRUN --mount=type=secret,id=none,required true\n',
    expect: 'fails',
  },
  {
    name: 'for a user',
    row: 'A3 secret',
    dockerfile: 'FROM base\nUSER app\nRUN --mount=type=secret,id=s,uid=1000 cat /run/secrets/s > /tmp/1\n',
    options: ['--secret', 'id=s,env=OWN_SECRET'],
    env: {
      OWN_SECRET: 'x',
    },
  },
  {
    name: 'an unknown type',
    row: 'A3 rules',
    dockerfile: 'FROM base\nRUN --mount=type=other,target=/x true\n',
    expect: 'fails',
  },
  {
    name: 'an unknown key',
    row: 'A3 rules',
    dockerfile: 'FROM base\nRUN --mount=type=cache,target=/x,what=1 true\n',
    expect: 'fails',
  },
  {
    name: 'mode on a bind',
    row: 'A3 rules',
    dockerfile: 'FROM base\nRUN --mount=type=bind,target=/x,mode=0700 true\n',
    expect: 'fails',
  },
  {
    name: 'required on a cache',
    row: 'A3 rules',
    dockerfile: 'FROM base\nRUN --mount=type=cache,target=/x,required=true true\n',
    expect: 'fails',
  },
  {
    name: 'size on a cache',
    row: 'A3 rules',
    dockerfile: 'FROM base\nRUN --mount=type=cache,target=/x,size=1m true\n',
    expect: 'fails',
  },
  {
    name: 'a mode that is not octal',
    row: 'A3 rules',
    dockerfile: 'FROM base\nRUN --mount=type=cache,target=/x,mode=rwx true\n',
    expect: 'fails',
  },
  {
    name: 'a bad boolean',
    row: 'A3 rules',
    dockerfile: 'FROM base\nRUN --mount=type=bind,target=/x,ro=perhaps true\n',
    expect: 'fails',
  },
  {
    name: 'a tmpfs with a source',
    row: 'A3 rules',
    dockerfile: 'FROM base\nRUN --mount=type=tmpfs,target=/x,source=/y true\n',
    expect: 'fails',
  },
  {
    name: 'rw on a secret',
    row: 'A3 rules',
    dockerfile: 'FROM base\nRUN --mount=type=secret,id=x,rw true\n',
  },
  {
    name: 'keys in any case, quoted values',
    row: 'A3 rules',
    dockerfile:
      'FROM base\nRUN --mount=TYPE=cache,Target=/c,ID=own-cache-7 echo 1 > /1\nRUN --mount="type=bind,target=/x,source=a.txt" cat /x > /2\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'several at once, one below another',
    row: 'A3 rules',
    dockerfile:
      'FROM base\nRUN --mount=type=tmpfs,target=/m --mount=source=a.txt,target=/m/in/a --mount=type=cache,target=/m/c,id=own-cache-8 cat /m/in/a > /1; ls /m > /2\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'none',
    row: 'A2 RUN --network',
    dockerfile: 'FROM base\nRUN --network=none ls /sys/class/net | sort | head -1 > /n\n',
  },
  {
    name: 'an unknown one',
    row: 'A2 RUN --network',
    dockerfile: 'FROM base\nRUN --network=other true\n',
    expect: 'fails',
  },
  {
    name: 'insecure without the right',
    row: 'A2 RUN --security',
    dockerfile: 'FROM base\nRUN --security=insecure true\n',
    expect: 'fails',
  },
  {
    name: 'sandbox',
    row: 'A2 RUN --security',
    dockerfile: 'FROM base\nRUN --security=sandbox echo 1 > /1\n',
    newer: 'RUN --security',
  },
  {
    name: 'an unknown one',
    row: 'A2 RUN --security',
    dockerfile: 'FROM base\nRUN --security=other true\n',
    expect: 'fails',
  },
  {
    name: 'an unknown device',
    row: 'A2 RUN --device',
    dockerfile: 'FROM base\nRUN --device=vendor.com/x=y true\n',
    expect: 'fails',
  },
];
