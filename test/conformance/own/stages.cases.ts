import type { OwnCase } from './case.js';

export const STAGE_CASES: readonly OwnCase[] = [
  {
    name: '--target by name and by number',
    row: 'A2 FROM',
    dockerfile: 'FROM base AS a\nRUN echo a > /a\nFROM base AS b\nRUN false\n',
    options: ['--target', 'A'],
  },
  {
    name: '--target by number',
    row: 'A2 FROM',
    dockerfile: 'FROM base\nRUN echo a > /a\nFROM base\nRUN false\n',
    options: ['--target', '0'],
    expect: 'fails',
  },
  {
    name: '--target that is not there',
    row: 'A2 FROM',
    dockerfile: 'FROM base AS a\n',
    options: ['--target', 'b'],
    expect: 'fails',
  },
  {
    name: 'a tag from an ARG',
    row: 'A2 FROM',
    dockerfile: 'ARG T\nFROM base:${T:-latest}\nLABEL a=1\n',
  },
  {
    name: 'an empty name from an ARG',
    row: 'A2 FROM',
    dockerfile: 'ARG T\nFROM $T\n',
    expect: 'fails',
  },
  {
    name: 'a wrong name',
    row: 'A2 FROM',
    dockerfile: 'FROM base::x\n',
    expect: 'fails',
  },
  {
    name: 'scratch as name of a stage',
    row: 'A2 FROM',
    dockerfile: 'FROM base AS scratch\nLABEL a=1\n',
  },
  {
    name: 'a stage named like an image',
    row: 'A2 FROM',
    dockerfile: 'FROM base AS base\nRUN echo 1 > /1\nFROM base\nRUN echo 2 > /2\n',
  },
  {
    name: 'a stage with the name of an image, later',
    row: 'A2 FROM',
    dockerfile: 'FROM base\nRUN echo 1 > /1\nFROM base AS base\nLABEL a=1\n',
  },
  {
    name: 'unused stages do not run',
    row: 'A2 FROM',
    dockerfile: 'FROM base AS unused\nRUN false\nCOPY none /\nFROM base\nLABEL a=1\n',
  },
  {
    name: 'a chain',
    row: 'A2 FROM',
    dockerfile:
      'FROM base AS a\nENV A=1\nRUN echo 1 > /1\nFROM a AS b\nENV B=2\nRUN echo 2 > /2\nFROM b AS c\nRUN rm /1\nFROM c\nLABEL l=$A$B\n',
  },
  {
    name: 'scratch and a tree',
    row: 'A2 FROM',
    dockerfile:
      'FROM base AS build\nRUN mkdir -p /out/etc && echo x > /out/etc/x && chown -R 5:6 /out\nFROM scratch\nCOPY --from=build /out /\nUSER 5\n',
  },
  {
    name: 'a diamond',
    row: 'A2 FROM',
    dockerfile:
      'FROM base AS root\nRUN echo r > /r\nFROM root AS left\nRUN echo l > /l\nFROM root AS right\nRUN echo x > /x\nFROM root\nCOPY --from=left /l /\nCOPY --from=right /x /\n',
  },
  {
    name: 'a cycle by mounts',
    row: 'A2 FROM',
    dockerfile: 'FROM base AS a\nRUN --mount=from=a,target=/m true\n',
    expect: 'fails',
  },
  {
    name: 'an unknown flag',
    row: 'A2 FROM',
    dockerfile: 'FROM --what=1 base\n',
    expect: 'fails',
  },
  {
    name: 'the layers of a stage come with it',
    row: 'A2 FROM',
    dockerfile: 'FROM scratch AS a\nCOPY a.txt /1\nCOPY a.txt /2\nFROM a\nCOPY a.txt /3\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'config goes to the child',
    row: 'A2 FROM',
    dockerfile:
      'FROM base AS a\nUSER app\nLABEL a=1\nEXPOSE 1\nVOLUME /v\nHEALTHCHECK CMD x\nSTOPSIGNAL 3\nMAINTAINER m\nFROM a\nLABEL b=2\nHEALTHCHECK NONE\n',
  },
  {
    name: 'COPY --from takes no config',
    row: 'A2 FROM',
    dockerfile:
      'FROM base AS a\nENV A=1\nWORKDIR /a\nUSER app\nFROM base\nCOPY --from=a /etc/profile /p\nLABEL a=x$A\n',
  },
  {
    name: 'no-cache-filter',
    row: 'A2 FROM',
    dockerfile: 'FROM base AS a\nRUN echo 1 > /1\nFROM a AS b\nRUN echo 2 > /2\n',
    options: ['--no-cache-filter', 'a'],
  },
  {
    name: 'a stage by its number is an image',
    row: 'A2 FROM',
    dockerfile: 'FROM base\nFROM 0\n',
    expect: 'fails',
  },
];
