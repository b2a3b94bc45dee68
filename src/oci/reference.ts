import { BuildError } from '../errors.js';
import { type Digest, isDigest } from './digest.js';

/**
 * An image's name, in distribution's grammar with Docker Hub's defaults: `alpine` is
 * `docker.io/library/alpine:latest`. Without tag and with a digest, `tag` stays undefined.
 */
export interface Reference {
  /** Host with port, as written; `docker.io` for Docker Hub. */
  readonly domain: string;
  /** Path below the domain: `library/alpine`. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DOMAIN =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;

/** Whether {@link parseReference} takes it. */
export function isReference(text: string): boolean {
  try {
    parseReference(text);
    return true;
  } catch {
    return false;
  }
}

/** @throws REFERENCE_INVALID */
export function parseReference(text: string): Reference {
  const invalid = (why: string, hint?: string) =>
    new BuildError('REFERENCE_INVALID', `image name "${text}" is not valid: ${why}`, { hint });
  let rest = text;
  let digest: Digest | undefined;
  const at = rest.indexOf('@');
  if (at >= 0) {
    const written = rest.slice(at + 1);
    if (!isDigest(written)) throw invalid(`"${written}" is not a digest`);
    digest = written;
    rest = rest.slice(0, at);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1);
    if (!TAG.test(tag))
      throw invalid(
        `"${tag}" is not a tag`,
        'a tag has letters, digits, "_", "." and "-", at most 128 of them',
      );
    rest = rest.slice(0, colon);
  }
  if (rest === '') throw invalid('it is empty');
  let domain = 'docker.io';
  let repository = rest;
  const slash = rest.indexOf('/');
  const first = slash < 0 ? '' : rest.slice(0, slash);
  if (slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase())) {
    domain = first === 'index.docker.io' ? 'docker.io' : first;
    repository = rest.slice(slash + 1);
  }
  if (!DOMAIN.test(domain)) throw invalid(`"${domain}" is not a host name`);
  if (domain === 'docker.io' && !repository.includes('/')) repository = `library/${repository}`;
  for (const component of repository.split('/')) {
    if (COMPONENT.test(component)) continue;
    const lower = component.toLowerCase();
    throw invalid(
      `"${component}" is not a repository name`,
      COMPONENT.test(lower) && lower !== component ? 'repository names are lower case' : undefined,
    );
  }
  if (`${domain}/${repository}`.length > 255) throw invalid('it is longer than 255 characters');
  if (tag === undefined && digest === undefined) tag = 'latest';
  return {
    domain,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The full name: `docker.io/library/alpine:latest`, with `@sha256:…` where there is a digest. */
export function formatReference(reference: Reference): string {
  return `${reference.domain}/${reference.repository}${reference.tag ? `:${reference.tag}` : ''}${reference.digest ? `@${reference.digest}` : ''}`;
}

/** The name as users write it: Docker Hub's domain and `library/` left out. */
export function familiarReference(reference: Reference): string {
  const full = formatReference(reference);
  if (reference.domain !== 'docker.io') return full;
  const name = full.slice('docker.io/'.length);
  return name.startsWith('library/') && name.split('/').length === 2 ? name.slice('library/'.length) : name;
}
