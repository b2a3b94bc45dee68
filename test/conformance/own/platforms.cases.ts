import type { OwnCase } from './case.js';

export const PLATFORM_CASES: readonly OwnCase[] = [
  {
    name: '--platform of the command line on scratch',
    row: 'A4 platform',
    dockerfile:
      'FROM scratch\nARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT\nLABEL t=$TARGETPLATFORM,$TARGETOS,$TARGETARCH,x$TARGETVARIANT\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    options: ['--platform', 'linux/arm64'],
  },
  {
    name: 'with a variant',
    row: 'A4 platform',
    dockerfile:
      'FROM scratch\nARG TARGETPLATFORM TARGETARCH TARGETVARIANT\nLABEL t=$TARGETPLATFORM,$TARGETARCH,x$TARGETVARIANT\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    options: ['--platform', 'linux/arm/v7'],
  },
  {
    name: 'an alias',
    row: 'A4 platform',
    dockerfile: 'FROM scratch\nARG TARGETPLATFORM\nLABEL t=$TARGETPLATFORM\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    options: ['--platform', 'linux/x86_64'],
  },
  {
    name: 'one without a variant that has one',
    row: 'A4 platform',
    dockerfile: 'FROM scratch\nARG TARGETPLATFORM\nLABEL t=$TARGETPLATFORM\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    options: ['--platform', 'linux/arm'],
  },
  {
    name: 'an unknown system',
    row: 'A4 platform',
    dockerfile: 'FROM scratch\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    options: ['--platform', 'nosuch'],
    expect: 'fails',
  },
  {
    name: 'FROM --platform on scratch',
    row: 'A4 platform',
    dockerfile: 'FROM --platform=linux/s390x scratch\nARG TARGETARCH\nLABEL t=$TARGETARCH\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'FROM --platform of the builder',
    row: 'A4 platform',
    dockerfile:
      'FROM --platform=$BUILDPLATFORM base AS tools\nARG TARGETARCH\nRUN echo "for $TARGETARCH" > /f\nFROM scratch\nCOPY --from=tools /f /\n',
    options: ['--platform', 'linux/riscv64'],
  },
  {
    name: 'FROM --platform of the target',
    row: 'A4 platform',
    dockerfile: 'FROM --platform=$TARGETPLATFORM base\nRUN echo 1 > /1\n',
  },
  {
    name: 'FROM --platform, one that is wrong',
    row: 'A4 platform',
    dockerfile: 'FROM --platform=a/b/c/d base\n',
    expect: 'fails',
  },
  {
    name: 'FROM --platform of an empty variable',
    row: 'A4 platform',
    dockerfile: 'ARG NONE\nFROM --platform=$NONE base\nLABEL a=1\n',
    expect: 'fails',
  },
  {
    name: 'FROM --platform twice',
    row: 'A4 platform',
    dockerfile: 'FROM --platform=linux/amd64 --platform=linux/amd64 base\n',
    expect: 'fails',
  },
  {
    name: 'windows on scratch',
    row: 'A4 platform',
    dockerfile: 'FROM scratch\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    options: ['--platform', 'windows/amd64'],
  },
  {
    name: '386 and ppc64le',
    row: 'A4 platform',
    dockerfile: 'FROM scratch\nARG TARGETARCH\nLABEL t=$TARGETARCH\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    options: ['--platform', 'linux/386'],
  },
];
