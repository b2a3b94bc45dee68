import { endianness } from 'node:os';

/** struct sock_filter of linux/filter.h. */
interface Instruction {
  readonly code: number;
  /** Instructions that are skipped where the comparison holds, and where it does not. */
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** The same of all instructions. */
interface Filter {
  readonly length: number;
  readonly codes: Uint16Array;
  readonly jt: Uint8Array;
  readonly jf: Uint8Array;
  readonly ks: Uint32Array;
}

export const INSTRUCTION_BYTES = 8;
/** The kernel takes no more. */
export const MOST_INSTRUCTIONS = 4096;
const MOST_SKIPPED = 255;

/** The instructions that the kernel follows when it looks for calls of which the arguments do not matter. */
const LOAD = 0x20;
const AND = 0x54;
const JUMP = 0x05;
const JEQ = 0x15;
const JGT = 0x25;
const JGE = 0x35;
const JSET = 0x45;
const RETURN = 0x06;

/** Offsets in struct seccomp_data. */
const NUMBER = 0;
const ARCHITECTURE = 4;

/** AUDIT_ARCH_ of x86_64, i386, aarch64, arm, ppc64le and riscv64. */
const ARCHITECTURES = [0xc000003e, 0x40000003, 0xc00000b7, 0x40000028, 0xc0000015, 0xc00000f3];
/** Those of mips64 and of nothing. */
const OTHER_ARCHITECTURES = [0x80000008, 0];

/** More than any of these architectures has. What is above, as the calls of x32, is left to the filter. */
const NUMBERS = 512;
const CHECKED_NUMBERS = 640;
const X32 = 0x40000000;

/**
 * The filter of system calls with a search in front of it that returns at once what it returns whatever the arguments; all else goes
 * through the filter as it was. The kernel follows a filter for each number when a process gets it, and libseccomp's compare with
 * one number after the other. The filter itself where that cannot be made, or is not found to answer the same.
 *
 * @param program array of struct sock_filter in the byte order of this machine
 */
export function branchingFilter(program: Uint8Array): Uint8Array {
  if (endianness() !== 'LE' || program.length % INSTRUCTION_BYTES !== 0) return program;
  const filter = decode(program);
  // The search leaves a number in the accumulator.
  if (filter.codes[0] !== LOAD) return program;
  const search = searchFor(filter);
  if (search.length === 0 || search.length + filter.length > MOST_INSTRUCTIONS) return program;
  const branching = Buffer.concat([encode(search), program]);
  return answersAlike(decode(branching), filter) ? branching : program;
}

/**
 * What the filter returns for the number whatever the arguments, as seccomp_is_const_allow of kernel/seccomp.c finds it; undefined
 * where it looks at them or does what is not known here.
 */
function constantResult(filter: Filter, architecture: number, number: number): number | undefined {
  const { length, codes, jt, jf, ks } = filter;
  let accumulator = 0;
  for (let at = 0; at < length; at++) {
    const k = ks[at]!;
    let holds: boolean;
    switch (codes[at]) {
      case JEQ:
        holds = accumulator === k;
        break;
      case JGT:
        holds = accumulator > k;
        break;
      case JGE:
        holds = accumulator >= k;
        break;
      case JSET:
        holds = (accumulator & k) !== 0;
        break;
      case JUMP:
        at += k;
        continue;
      case AND:
        accumulator = (accumulator & k) >>> 0;
        continue;
      case LOAD:
        if (k !== NUMBER && k !== ARCHITECTURE) return undefined;
        accumulator = k === NUMBER ? number : architecture;
        continue;
      case RETURN:
        return k;
      default:
        return undefined;
    }
    at += holds ? jt[at]! : jf[at]!;
  }
  return undefined;
}

/** Numbers from this one up to the next range's. */
interface Range {
  readonly from: number;
  /** What the filter returns whatever the arguments; undefined where it is to be asked. */
  readonly result: number | undefined;
}

/** The last one has no end, and the filter is to be asked. */
function rangesOf(filter: Filter, architecture: number): Range[] {
  const ranges: Range[] = [];
  for (let from = 0; from <= NUMBERS; from++) {
    const result = from < NUMBERS ? constantResult(filter, architecture, from) : undefined;
    if (from === 0 || ranges.at(-1)!.result !== result) ranges.push({ from, result });
  }
  return ranges;
}

/** With less there is nothing to look for: all numbers have the same result. */
const LEAST_RANGES = 3;

/** Empty where there is nothing to look for. */
function searchFor(filter: Filter): Instruction[] {
  const code = new BackwardCode();
  const parts: { architecture: number; start: number }[] = [];
  for (const architecture of ARCHITECTURES) {
    const ranges = rangesOf(filter, architecture);
    if (ranges.length < LEAST_RANGES) continue;
    code.search(ranges);
    parts.push({ architecture, start: code.add(LOAD, NUMBER) });
  }
  if (parts.length === 0) return [];
  let otherwise = code.filter();
  for (const { architecture, start } of parts.toReversed())
    otherwise = code.branch(JEQ, architecture, start, otherwise);
  code.add(LOAD, ARCHITECTURE);
  return code.instructions();
}

/**
 * Instructions that are added from the last to the first, since jumps lead forward only. A place is the number of instructions
 * from there to the filter that follows them.
 */
class BackwardCode {
  readonly #reversed: Instruction[] = [];
  /** The nearest places where results are returned, and where the filter is gone to. */
  readonly #results = new Map<number, number>();
  #filter = 0;

  instructions(): Instruction[] {
    return this.#reversed.toReversed();
  }

  add(code: number, k: number): number {
    return this.#reversed.push({ code, jt: 0, jf: 0, k });
  }

  /** Decides for the number in the accumulator. */
  search(ranges: readonly Range[]): number {
    if (ranges.length === 1) return this.#end(ranges[0]!.result);
    const middle = ranges.length >> 1;
    const above = this.search(ranges.slice(middle));
    const below = this.search(ranges.slice(0, middle));
    return this.branch(JGE, ranges[middle]!.from, above, below);
  }

  /** The place of a comparison that goes on at one of two others. */
  branch(code: number, k: number, then: number, otherwise: number): number {
    const near = [this.#near(then), this.#near(otherwise)] as const;
    const [jt, jf] = near.map((place) => this.#reversed.length - place) as [number, number];
    return this.#reversed.push({ code, jt, jf, k });
  }

  filter(): number {
    if (!this.#isNear(this.#filter)) this.#filter = this.#jump(this.#filter);
    return this.#filter;
  }

  #end(result: number | undefined): number {
    if (result === undefined) return this.filter();
    const known = this.#results.get(result);
    if (known !== undefined && this.#isNear(known)) return known;
    const place = this.add(RETURN, result);
    this.#results.set(result, place);
    return place;
  }

  #near(place: number): number {
    return this.#isNear(place) ? place : this.#jump(place);
  }

  #jump(place: number): number {
    return this.add(JUMP, this.#reversed.length - place);
  }

  /** Also from behind one more instruction. */
  #isNear(place: number): boolean {
    return this.#reversed.length - place < MOST_SKIPPED;
  }
}

/** Whether nothing of what the kernel finds of the filter differs. */
function answersAlike(branching: Filter, filter: Filter): boolean {
  const numbers = Array.from({ length: CHECKED_NUMBERS }, (_, number) => [number, X32 + number]).flat();
  numbers.push(X32 - 1, 2 * X32 - 1, 2 * X32, 0xffffffff);
  return [...ARCHITECTURES, ...OTHER_ARCHITECTURES].every((architecture) =>
    numbers.every(
      (number) =>
        constantResult(branching, architecture, number) === constantResult(filter, architecture, number),
    ),
  );
}

function decode(program: Uint8Array): Filter {
  const view = new DataView(program.buffer, program.byteOffset, program.length);
  const length = program.length / INSTRUCTION_BYTES;
  const starts = Array.from({ length }, (_, index) => index * INSTRUCTION_BYTES);
  return {
    length,
    codes: Uint16Array.from(starts, (at) => view.getUint16(at, true)),
    jt: Uint8Array.from(starts, (at) => view.getUint8(at + 2)),
    jf: Uint8Array.from(starts, (at) => view.getUint8(at + 3)),
    ks: Uint32Array.from(starts, (at) => view.getUint32(at + 4, true)),
  };
}

function encode(instructions: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(instructions.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, jt, jf, k }] of instructions.entries()) {
    const at = index * INSTRUCTION_BYTES;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jt);
    view.setUint8(at + 3, jf);
    view.setUint32(at + 4, k, true);
  }
  return bytes;
}
