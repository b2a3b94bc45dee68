import { BuildError } from '../errors.js';

/** image-spec image-index.md, "platform". */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
}

const KNOWN_OS = new Set([
  'linux',
  'windows',
  'darwin',
  'freebsd',
  'netbsd',
  'openbsd',
  'solaris',
  'aix',
  'android',
  'plan9',
  'js',
  'wasip1',
  'dragonfly',
  'illumos',
  'ios',
]);
const KNOWN_ARCH = new Set([
  '386',
  'amd64',
  'arm',
  'arm64',
  'ppc64',
  'ppc64le',
  'mips',
  'mipsle',
  'mips64',
  'mips64le',
  'riscv64',
  's390x',
  'loong64',
  'wasm',
  'sparc64',
]);

function normalizeOs(os: string): string {
  const lower = os.toLowerCase();
  return lower === 'macos' ? 'darwin' : lower;
}

function normalizeArchitecture(
  architecture: string,
  variant: string,
): { architecture: string; variant: string } {
  const arch = architecture.toLowerCase();
  const v = variant.toLowerCase();
  switch (arch) {
    case 'i386':
      return { architecture: '386', variant: '' };
    case 'x86_64':
    case 'x86-64':
    case 'amd64':
      return { architecture: 'amd64', variant: v === 'v1' ? '' : v };
    case 'aarch64':
    case 'arm64':
      return { architecture: 'arm64', variant: v === '8' || v === 'v8' || v === 'v8.0' ? '' : v };
    case 'armhf':
      return { architecture: 'arm', variant: 'v7' };
    case 'armel':
      return { architecture: 'arm', variant: 'v6' };
    case 'arm':
      return { architecture: 'arm', variant: v === '' || v === '7' ? 'v7' : /^[568]$/.test(v) ? `v${v}` : v };
    default:
      return { architecture: arch, variant: v };
  }
}

/** Canonical form: aliases resolved (`x86_64` is amd64, `aarch64/v8` is arm64), lower case, arm without variant is v7. */
export function normalizePlatform(platform: Platform): Platform {
  const { architecture, variant } = normalizeArchitecture(platform.architecture, platform.variant ?? '');
  return {
    os: normalizeOs(platform.os),
    architecture,
    ...(variant ? { variant } : {}),
    ...(platform['os.version'] ? { 'os.version': platform['os.version'] } : {}),
    ...(platform['os.features']?.length ? { 'os.features': platform['os.features'] } : {}),
  };
}

/** `linux/arm64/v8`, `arm64`, `linux`, `windows(10.0.17763)/amd64`. @throws PLATFORM_INVALID */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/');
  const invalid = (why: string) =>
    new BuildError('PLATFORM_INVALID', `platform "${text}" is not valid: ${why}`, {
      hint: 'write os/architecture or os/architecture/variant, such as linux/amd64 or linux/arm/v7',
    });
  if (parts.length > 3) throw invalid('too many parts');
  for (const [i, part] of parts.entries()) {
    if (!(i === 0 ? /^[A-Za-z0-9_.-]+(\([A-Za-z0-9_.+-]*\))?$/ : /^[A-Za-z0-9_.-]+$/).test(part))
      throw invalid(`"${part}" is not a name`);
  }
  const osMatch = /^([^(]+)(?:\(([^)+]*)(?:\+([^)]*))?\))?$/.exec(parts[0]!)!;
  const extra = {
    ...(osMatch[2] ? { 'os.version': osMatch[2] } : {}),
    ...(osMatch[3] ? { 'os.features': osMatch[3].split('+') } : {}),
  };
  const host = hostPlatform();
  if (parts.length === 1) {
    const os = normalizeOs(osMatch[1]!);
    if (KNOWN_OS.has(os)) {
      return normalizePlatform({
        os,
        architecture: host.architecture,
        ...(host.variant ? { variant: host.variant } : {}),
        ...extra,
      });
    }
    const { architecture, variant } = normalizeArchitecture(parts[0]!, '');
    if (!KNOWN_ARCH.has(architecture)) throw invalid('unknown operating system or architecture');
    return normalizePlatform({ os: host.os, architecture, ...(variant ? { variant } : {}) });
  }
  return normalizePlatform({
    os: osMatch[1]!,
    architecture: parts[1]!,
    ...(parts[2] ? { variant: parts[2] } : {}),
    ...extra,
  });
}

/** `os/architecture[/variant]`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
}

/** The machine's own platform, normalized. */
export function hostPlatform(): Platform {
  const architectures: Record<string, string> = {
    x64: 'amd64',
    ia32: '386',
    arm64: 'arm64',
    arm: 'arm',
    ppc64: 'ppc64le',
    s390x: 's390x',
    riscv64: 'riscv64',
    loong64: 'loong64',
    mips: 'mips',
    mipsel: 'mipsle',
  };
  return normalizePlatform({
    os: process.platform === 'win32' ? 'windows' : process.platform,
    architecture: architectures[process.arch] ?? process.arch,
  });
}

function variantNumber(variant: string | undefined, fallback: number): number {
  const match = /^v(\d+)(?:\.(\d+))?$/.exec(variant ?? '');
  return match ? Number(match[1]) + Number(match[2] ?? 0) / 100 : fallback;
}

/**
 * How well `candidate` runs on `wanted`, lower is better, `undefined` is not at all: the exact variant first, then older
 * variants downward, then the 32-bit sibling (amd64 takes 386, arm64 takes arm), as containerd orders them.
 */
export function platformRank(wanted: Platform, candidate: Platform): number | undefined {
  const want = normalizePlatform(wanted);
  const have = normalizePlatform(candidate);
  if (want.os !== have.os) return undefined;
  const defaults: Record<string, number> = { arm: 7, arm64: 8, amd64: 1 };
  const fallback = defaults[want.architecture] ?? 0;
  if (want.architecture === have.architecture) {
    if ((want.variant ?? '') === (have.variant ?? '')) return 0;
    if (fallback === 0) return undefined;
    const distance = variantNumber(want.variant, fallback) - variantNumber(have.variant, fallback);
    return distance >= 0 ? distance + 0.001 : undefined;
  }
  if (want.architecture === 'amd64' && have.architecture === '386') return 100;
  if (want.architecture === 'arm64' && have.architecture === 'arm')
    return 100 + 8 - variantNumber(have.variant, 7);
  return undefined;
}

/** The best candidate for `wanted`, or `undefined` when none runs there. The first wins among equals. */
export function selectPlatform<T>(
  wanted: Platform,
  candidates: readonly T[],
  platformOf: (candidate: T) => Platform | undefined,
): T | undefined {
  let best: { candidate: T; rank: number } | undefined;
  for (const candidate of candidates) {
    const platform = platformOf(candidate);
    const rank = platform && platformRank(wanted, platform);
    if (rank !== undefined && (!best || rank < best.rank)) best = { candidate, rank };
  }
  return best?.candidate;
}
