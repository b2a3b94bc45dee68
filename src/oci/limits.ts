import { BuildError } from '../errors.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/**
 * What data from elsewhere may ask of this machine; SECURITY.md says why each number is what it is. `TSBUILD_LIMITS=name=value,…`
 * sets others, for the rare image that needs them.
 */
const DEFAULTS = {
  /** A manifest, an index, `manifest.json`, an answer of a token server. */
  manifestBytes: 8 * MIB,
  imageConfigBytes: 8 * MIB,
  /** Brackets within brackets of a JSON document. */
  jsonDepth: 100,
  /** Indexes within indexes. */
  indexDepth: 8,
  /** Headers of one tar archive, those of PAX and GNU among them. */
  tarHeaders: 2_400_000,
  /** Entries of one tar archive: its listing takes 1.2 KB of memory for each. */
  tarEntries: 1_200_000,
  /** A PAX header or a long name; also all global PAX headers together. */
  tarHeaderBytes: MIB,
  /** A path in an archive, and the target of a link: PATH_MAX of Linux. */
  pathBytes: 4096,
  /** Entries that are looked at because directories were replaced by something else. */
  tarReplacedEntries: 100_000_000,
  /** Files of a docker or OCI archive. */
  imageArchiveEntries: 100_000,
  /** What compressed data may always grow to. */
  inflatedBytes: 4 * GIB,
  /** What it may grow to beyond that, in times of its own size. */
  inflationRatio: 200,
  /** What unpacking and downloads leave free on the disk. */
  freeDiskBytes: 256 * MIB,
  /** Files of a directory that is a context, as far as they are looked at: they take 2.5 KB of memory each. */
  contextFiles: 1_500_000,
  dockerfileBytes: 16 * MIB,
  ignoreFileBytes: 16 * MIB,
  stages: 100_000,
  /** Quotes and braces within braces of one word. */
  expansionDepth: 200,
  /** One word after its variables are expanded; Linux takes no variable of more than 128 KiB. */
  expandedBytes: MIB,
  /** All words of a Dockerfile after expansion. */
  expandedTotalBytes: 64 * MIB,
  /** Docker's config file, and what a credential helper answers. */
  configFileBytes: MIB,
  /** A credential helper that takes longer is given up; people may have to type a password. */
  helperMs: 120_000,
  /** passwd, group and other small files of an image. */
  imageFileBytes: 16 * MIB,
  /** A server that sends less than this in a window is given up. */
  slowestBytes: 4 * KIB,
  slowWindowMs: 120_000,
} as const;

export type LimitName = keyof typeof DEFAULTS;

export const LIMITS: Readonly<Record<LimitName, number>> = {
  ...DEFAULTS,
  ...parseLimits(process.env['TSBUILD_LIMITS'] ?? ''),
};

/** @throws CONFIG_INVALID */
export function parseLimits(text: string): Partial<Record<LimitName, number>> {
  const chosen: Partial<Record<LimitName, number>> = {};
  for (const part of text.split(',').filter((item) => item.trim() !== '')) {
    const [, name = '', value = ''] = /^\s*(\w+)=(\d{1,15})\s*$/.exec(part) ?? [];
    if (!Object.hasOwn(DEFAULTS, name)) {
      throw new BuildError('CONFIG_INVALID', `TSBUILD_LIMITS has "${part}", which sets no limit`, {
        hint: `write name=NUMBER; the names are ${Object.keys(DEFAULTS).join(', ')}`,
      });
    }
    chosen[name as LimitName] = Number(value);
  }
  return chosen;
}

/** The way out of an error about a limit. */
export function limitHint(name: LimitName): string {
  return `the limit is ${LIMITS[name]}; where the data is to be trusted, raise it with TSBUILD_LIMITS=${name}=NUMBER`;
}
