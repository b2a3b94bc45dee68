import { expect } from 'chai';
import fc from 'fast-check';
import { branchingFilter } from '../../../src/worker/executor/branching-filter.js';

const RUNS = Number(process.env['TSBUILD_PROPERTY_RUNS'] ?? 200);

const X86_64 = 0xc000003e;
const I386 = 0x40000003;
const RISCV64 = 0xc00000f3;
const UNKNOWN = 0x80000008;

const ALLOW = 0x7fff0000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;
const KILL = 0x80000000;

const NUMBER = 0;
const ARCHITECTURE = 4;
const ARGUMENT = 16;

type Instruction = readonly [code: number, jt: number, jf: number, k: number];

const load = (offset: number): Instruction => [0x20, 0, 0, offset];
const returns = (k: number): Instruction => [0x06, 0, 0, k];
const jump = (k: number): Instruction => [0x05, 0, 0, k];
const isEqual = (k: number, jt: number, jf: number): Instruction => [0x15, jt, jf, k];
const isAtLeast = (k: number, jt: number, jf: number): Instruction => [0x35, jt, jf, k];

function assemble(instructions: readonly Instruction[]): Buffer {
  return Buffer.concat(
    instructions.map(([code, jt, jf, k]) => {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt16LE(code, 0);
      bytes.writeUInt8(jt, 2);
      bytes.writeUInt8(jf, 3);
      bytes.writeUInt32LE(k, 4);
      return bytes;
    }),
  );
}

interface Call {
  readonly architecture: number;
  readonly number: number;
  readonly args?: readonly bigint[];
}

/** As the kernel runs a filter, with all of its instructions but those that it refuses in one. Counts what it executes. */
function run(
  program: Uint8Array,
  { architecture, number, args = [] }: Call,
): { result: number; steps: number } {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number, NUMBER);
  data.writeUInt32LE(architecture, ARCHITECTURE);
  args.forEach((value, index) => data.writeBigUInt64LE(value, ARGUMENT + 8 * index));
  const code = Buffer.from(program);
  const memory = new Uint32Array(16);
  let a = 0;
  let x = 0;
  let steps = 0;
  for (let pc = 0; ; pc++) {
    if (pc * 8 >= code.length) throw new Error('ran off the end');
    steps++;
    const operation = code.readUInt16LE(pc * 8);
    const k = code.readUInt32LE(pc * 8 + 4);
    const operand = operation & 0x08 ? x : k;
    const skip = (holds: boolean) => (pc += code.readUInt8(pc * 8 + (holds ? 2 : 3)));
    switch (operation & 0x07) {
      case 0x00:
        a = { 0x20: () => data.readUInt32LE(k), 0x00: () => k, 0x60: () => memory[k]! }[operation & 0xe0]!();
        break;
      case 0x01:
        x = operation & 0x60 ? memory[k]! : k;
        break;
      case 0x02:
        memory[k] = a;
        break;
      case 0x03:
        memory[k] = x;
        break;
      case 0x04:
        a = calculate(operation & 0xf0, a, operand);
        break;
      case 0x05:
        if ((operation & 0xf0) === 0) pc += k;
        else skip(compares(operation & 0xf0, BigInt(a), BigInt(operand)));
        break;
      case 0x06:
        return { result: operation & 0x10 ? a : k, steps };
      default:
        if (operation & 0x80) a = x;
        else x = a;
    }
  }
}

function calculate(operation: number, a: number, operand: number): number {
  const [one, other] = [BigInt(a), BigInt(operand)];
  const result = {
    0x00: one + other,
    0x10: one - other,
    0x20: one * other,
    0x40: one | other,
    0x50: one & other,
    0x60: one << (other & 31n),
    0x70: one >> (other & 31n),
    0x80: -one,
    0xa0: one ^ other,
  }[operation]!;
  return Number(BigInt.asUintN(32, result));
}

function compares(operation: number, a: bigint, operand: bigint): boolean {
  if (operation === 0x10) return a === operand;
  if (operation === 0x20) return a > operand;
  if (operation === 0x30) return a >= operand;
  return (a & operand) !== 0n;
}

/** Allows the numbers as libseccomp does, one comparison after the other. */
function allowList(numbers: readonly number[], otherwise = EPERM): Instruction[] {
  return [
    load(NUMBER),
    ...numbers.flatMap((number) => [isEqual(number, 0, 1), returns(ALLOW)]),
    returns(otherwise),
  ];
}

/** A part for each architecture; all others are killed. */
function forArchitectures(parts: readonly (readonly [number, readonly Instruction[]])[]): Buffer {
  const code = parts.flatMap(([architecture, part]) => [
    isEqual(architecture, 1, 0),
    jump(part.length),
    ...part,
    load(ARCHITECTURE),
  ]);
  return assemble([load(ARCHITECTURE), ...code, returns(KILL)]);
}

const resultOf = (program: Uint8Array, call: Call) => run(program, call).result;

/** The architectures it may know and one that it does not, the numbers it may know, x32's, and the last. */
function expectSame(branching: Uint8Array, program: Uint8Array, args: readonly bigint[] = []): void {
  const numbers = Array.from({ length: 1200 }, (_, number) => [number, 0x40000000 + number]).flat();
  for (const architecture of [X86_64, I386, RISCV64, UNKNOWN])
    for (const number of [...numbers, 0x3fffffff, 0x7fffffff, 0x80000000, 0xffffffff]) {
      const call = { architecture, number, args };
      if (resultOf(branching, call) !== resultOf(program, call))
        expect.fail(`differs for ${architecture.toString(16)} ${number}`);
    }
}

const EVEN = Array.from({ length: 250 }, (_, index) => 2 * index);
const FIRST = Array.from({ length: 300 }, (_, index) => index);

describe('a branching filter of system calls', () => {
  it('returns the same for each architecture, in few steps', () => {
    const program = forArchitectures([
      [X86_64, allowList(FIRST)],
      [I386, allowList([1, 2, 3, 400])],
    ]);
    const branching = branchingFilter(program);
    expectSame(branching, program);
    expect(run(program, { architecture: X86_64, number: 299 }).steps).to.be.above(300);
    for (const number of [0, 150, 299])
      expect(run(branching, { architecture: X86_64, number }).steps).to.be.below(8);
    expect(run(branching, { architecture: I386, number: 400 }).steps).to.be.below(10);
  });

  it('ends with the filter, and returns nothing else than that', () => {
    const part = [load(NUMBER), isEqual(435, 0, 1), returns(ENOSYS), ...allowList([7, 8])];
    const program = forArchitectures([[X86_64, part]]);
    const branching = Buffer.from(branchingFilter(program));
    expect(branching.subarray(-program.length).equals(program)).to.equal(true);
    const added = branching.subarray(0, -program.length);
    const returned = Array.from({ length: added.length / 8 }, (_, at) => at * 8)
      .filter((at) => added.readUInt16LE(at) === 0x06)
      .map((at) => added.readUInt32LE(at + 4));
    expect([...new Set(returned)].sort((a, b) => a - b)).to.deep.equal([EPERM, ENOSYS, ALLOW]);
    const results = [7, 9, 435, 0x40000007].map((number) =>
      resultOf(branching, { architecture: X86_64, number }),
    );
    expect(results).to.deep.equal([ALLOW, EPERM, ENOSYS, EPERM]);
    expect(resultOf(branching, { architecture: UNKNOWN, number: 7 })).to.equal(KILL);
  });

  it('leaves to the filter what depends on arguments', () => {
    const part = [
      load(NUMBER),
      isEqual(41, 0, 4),
      load(ARGUMENT),
      isAtLeast(12, 1, 0),
      returns(ALLOW),
      returns(EPERM),
      ...allowList([40, 42]),
    ];
    const program = forArchitectures([[X86_64, part]]);
    const branching = branchingFilter(program);
    expect(branching.length).to.be.above(program.length);
    for (const args of [[0n], [11n], [12n], [0xffffffffn]]) expectSame(branching, program, args);
    const results = [11n, 12n].map((value) =>
      resultOf(branching, { architecture: X86_64, number: 41, args: [value] }),
    );
    expect(results).to.deep.equal([ALLOW, EPERM]);
  });

  it('leaves to the filter what the kernel does not follow, and returns whatever else it returns', () => {
    const LOG = 0x7ffc0000;
    const part = [
      load(NUMBER),
      isEqual(5, 0, 2),
      [0x04, 0, 0, 1] as const, // add
      returns(ALLOW),
      isEqual(6, 0, 1),
      returns(ALLOW + 1),
      isEqual(7, 0, 2),
      [0x00, 0, 0, ALLOW] as const,
      [0x16, 0, 0, 0] as const, // return the accumulator
      ...allowList([9], LOG),
    ];
    const program = forArchitectures([[X86_64, part]]);
    const branching = branchingFilter(program);
    expectSame(branching, program);
    const steps = (of: Uint8Array, number: number) => run(of, { architecture: X86_64, number }).steps;
    for (const number of [5, 7]) expect(steps(branching, number)).to.be.above(steps(program, number));
    for (const number of [8, 9]) expect(steps(branching, number)).to.be.below(steps(program, number));
  });

  it('searches all of the ranges that a filter has, its jumps kept in reach', () => {
    for (const otherwise of [EPERM, KILL]) {
      const program = forArchitectures([
        [X86_64, allowList(EVEN, otherwise)],
        [I386, allowList(EVEN.toReversed(), otherwise)],
        [RISCV64, allowList([...EVEN.slice(0, 120), ...FIRST.slice(280)], otherwise)],
      ]);
      const branching = branchingFilter(program);
      expect(branching.length - program.length).to.be.above(8 * 1000);
      expectSame(branching, program);
      expect(run(branching, { architecture: I386, number: 498 }).steps).to.be.below(20);
    }
  });

  it('allows a call of each architecture where the filter does not look at it', () => {
    const program = assemble([load(NUMBER), isAtLeast(10, 0, 1), returns(EPERM), returns(ALLOW)]);
    const branching = branchingFilter(program);
    expect(branching.length).to.be.above(program.length);
    expectSame(branching, program);
  });

  const long = (length: number) => [...allowList(EVEN), ...Array<Instruction>(length).fill(returns(EPERM))];

  for (const [what, instructions] of [
    ['allows nothing', [load(NUMBER), returns(EPERM)]],
    ['does not begin with a load', [isEqual(0, 0, 1), returns(ALLOW), ...allowList([1, 2])]],
    ['begins with the load of a constant', [[0x00, 0, 0, 0], ...allowList([1, 2])]],
    ['would be too long', long(3000)],
    ['is empty', []],
    ['runs off its end', [load(NUMBER), isEqual(3, 0, 0)]],
    ['jumps far behind its end', [load(NUMBER), jump(0xffffffff), returns(ALLOW)]],
  ] as [string, Instruction[]][]) {
    it(`is the filter itself where that ${what}`, () => {
      const program = assemble(instructions);
      expect(branchingFilter(program)).to.equal(program);
    });
  }

  it('is the filter itself where that is cut short', () => {
    const program = assemble(allowList([1, 2])).subarray(0, -3);
    expect(branchingFilter(program)).to.equal(program);
  });

  it('takes no more instructions than the kernel', () => {
    const branching = branchingFilter(assemble(long(400)));
    expect(branching.length).to.be.within(8 * 1001, 8 * 4096);
  });

  it('reads a filter that lies at an odd place', () => {
    const program = assemble(allowList([1, 2, 3]));
    const odd = Buffer.concat([Buffer.alloc(1), program]).subarray(1);
    expect(Buffer.from(branchingFilter(odd)).equals(branchingFilter(program))).to.equal(true);
  });

  describe('of any instructions', () => {
    const number = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constantFrom(0x40000001, 0xffffffff));
    const constant = fc.oneof(number, fc.constantFrom(X86_64, I386, RISCV64, ALLOW, 500, 511, 512, 1023));
    const result = fc.constantFrom(ALLOW, ALLOW, ALLOW, EPERM, ENOSYS, KILL);
    const slot = fc.integer({ min: 0, max: 15 });
    const instruction = (left: number): fc.Arbitrary<Instruction> => {
      const skipped = fc.integer({ min: 0, max: Math.min(left - 1, 6) });
      const of = (codes: number[], k: fc.Arbitrary<number>) =>
        fc.tuple(fc.constantFrom(...codes), fc.constant(0), fc.constant(0), k);
      return fc.oneof(
        {
          arbitrary: fc.tuple(fc.constantFrom(0x15, 0x25, 0x35, 0x45), skipped, skipped, constant),
          weight: 8,
        },
        {
          arbitrary: fc.tuple(fc.constantFrom(0x1d, 0x2d, 0x3d, 0x4d), skipped, skipped, constant),
          weight: 1,
        },
        { arbitrary: of([0x20], fc.constantFrom(NUMBER, ARCHITECTURE)), weight: 4 },
        { arbitrary: of([0x20], fc.constantFrom(8, 12, 16, 20, 24, 60)), weight: 1 },
        { arbitrary: of([0x06], result), weight: 1 },
        { arbitrary: of([0x54], constant), weight: 1 },
        { arbitrary: of([0x05], skipped), weight: 1 },
        { arbitrary: of([0x04, 0x14, 0x44, 0xa4, 0x84, 0x0c, 0x5c, 0x00, 0x01], constant), weight: 1 },
        { arbitrary: of([0x02, 0x03, 0x60, 0x61], slot), weight: 1 },
        { arbitrary: of([0x07, 0x87, 0x16], fc.constant(0)), weight: 1 },
      );
    };
    const program = fc
      .integer({ min: 1, max: 30 })
      .chain((length) =>
        fc.tuple(
          fc.constantFrom(load(NUMBER), load(ARCHITECTURE), load(ARGUMENT)),
          ...Array.from({ length }, (_, index) => instruction(length - index)),
          ...[load(NUMBER), isAtLeast(20, 0, 1), returns(EPERM)].map((last) => fc.constant(last)),
          result.map(returns),
        ),
      )
      .map(assemble);
    const call = fc.record({
      architecture: fc.constantFrom(X86_64, I386, RISCV64, UNKNOWN),
      number: fc.oneof(number, fc.integer({ min: 0, max: 1200 })),
      args: fc.array(fc.oneof(number.map(BigInt), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), {
        maxLength: 6,
      }),
    });

    it('answers each call as the filter does', function () {
      let branchings = 0;
      fc.assert(
        fc.property(program, fc.array(call, { minLength: 50, maxLength: 50 }), (bytes, calls) => {
          const branching = branchingFilter(bytes);
          if (branching !== bytes) branchings++;
          for (const one of calls) expect(resultOf(branching, one)).to.equal(resultOf(bytes, one));
        }),
        { numRuns: RUNS },
      );
      expect(branchings).to.be.above(RUNS / 20);
    });
  });
});
