import type { FastifyRequest } from 'fastify';
import { type SerializeOptions, stringifySetCookie } from 'cookie';
import { isIP } from 'node:net';

/** Most segments of a path for which a cookie is removed. */
const MAX_SEGMENTS = 12;

/** What a cookie of ours is called. */
export type CookieKind = 'session' | 'sign_in' | 'device';

/** Whether browsers reach this server by https: then cookies have the prefix that no other site can set. */
export function isSecure(publicUrl: string): boolean {
  return publicUrl.startsWith('https:');
}

/**
 * The name of a cookie. With https it begins with `__Host-`: browsers take such a cookie only from this very host, over
 * https and for all paths, so that a neighbouring site cannot put one of its own beside it. With http there is no such
 * protection, and the name is plain. The id keeps two installations behind one host name apart.
 *
 * @see https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-the-__host-prefix
 */
export function cookieName(kind: CookieKind, publicUrl: string, installationShortId: string): string {
  if (!isSecure(publicUrl)) return `latchkey_${kind}`;
  return kind === 'session'
    ? `__Host-latchkey_${installationShortId}`
    : `__Host-latchkey_${kind}_${installationShortId}`;
}

/** Every value that a request has under a name. One is the rule; two come from two places, and tell nothing. */
export function cookieValues(request: FastifyRequest, name: string): string[] {
  const { cookie } = request.headers;
  if (cookie === undefined) return [];
  return cookie.split(';').flatMap((pair) => {
    const at = pair.indexOf('=');
    return at > 0 && pair.slice(0, at).trim() === name ? [pair.slice(at + 1).trim()] : [];
  });
}

/** The one value of a cookie; null for none and for several. */
export function cookieValue(request: FastifyRequest, name: string): string | null {
  const values = cookieValues(request, name);
  return values.length === 1 ? values[0]! : null;
}

/**
 * `Set-Cookie` lines that remove a cookie of this name wherever a browser may have it from, as far as it is sent with
 * this request: for each path above that of the request, of this host alone and of the domains it lies in.
 */
export function removals(name: string, request: FastifyRequest, options: SerializeOptions): string[] {
  const remove = (more: SerializeOptions) =>
    stringifySetCookie(name, '', { ...options, ...more, expires: new Date(0), maxAge: 0 });
  // Browsers keep `__Host-` in no other place than this one.
  if (name.startsWith('__Host-')) return [remove({})];
  const domains = [undefined, ...domainsOf(request)];
  return domains.flatMap((domain) =>
    pathsOf(request).map((path) => remove(domain === undefined ? { path } : { path, domain })),
  );
}

/** `/api/v1/auth` → `/`, `/api`, `/api/`, `/api/v1`, …: a cookie's path may end with a slash. */
function pathsOf(request: FastifyRequest): string[] {
  const segments = request.url
    .split(/[?#]/, 1)[0]!
    .split('/')
    .filter((segment) => /^[\w.~-]+$/.test(segment));
  const paths = segments.slice(0, MAX_SEGMENTS).map((_, index) => `/${segments.slice(0, index + 1).join('/')}`);
  return ['/', ...paths.flatMap((path) => [path, `${path}/`])];
}

/** `keys.example.com` → itself and `example.com`. Addresses and single names have no domain. */
function domainsOf(request: FastifyRequest): string[] {
  const host = request.hostname.toLowerCase();
  if (isIP(host.replace(/^\[|\]$/g, '')) !== 0 || !/^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(host)) return [];
  const labels = host.split('.');
  return labels.slice(0, -1).map((_, index) => labels.slice(index).join('.'));
}
