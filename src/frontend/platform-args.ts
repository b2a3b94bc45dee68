import { formatPlatform, type Platform } from '../oci/platform.js';

/** The automatic ARGs of BuildKit: platforms of the result and of this machine, and the target stage. */
export function platformArgs(target: Platform, build: Platform, targetStage: string): Map<string, string> {
  const args = new Map<string, string>();
  for (const [prefix, platform] of [
    ['BUILD', build],
    ['TARGET', target],
  ] as const) {
    args.set(`${prefix}PLATFORM`, formatPlatform(platform));
    args.set(`${prefix}OS`, platform.os);
    args.set(`${prefix}OSVERSION`, platform['os.version'] ?? '');
    args.set(`${prefix}ARCH`, platform.architecture);
    args.set(`${prefix}VARIANT`, platform.variant ?? '');
  }
  args.set('TARGETSTAGE', targetStage);
  return args;
}

const PROXY_ARGS = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'];

/** Build arguments that every RUN gets without declaring them, and that leave no trace in keys or image. */
export function isProxyArg(name: string): boolean {
  return (
    PROXY_ARGS.includes(name.toUpperCase()) && (name === name.toUpperCase() || name === name.toLowerCase())
  );
}
