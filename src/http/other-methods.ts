import type { FastifyInstance, FastifyRequest } from 'fastify';
import { DomainError, methodNotAllowed } from '../common/domain-error.js';

/** A path as it is declared, and the methods that it has. */
interface KnownPath {
  readonly pattern: RegExp;
  readonly methods: Set<string>;
}

/**
 * Knows the methods of every path, for requests that no route takes. To be called before any route is registered.
 *
 * The answer of each request that it is asked about is 405 with `Allow` where the path has routes of other methods, and
 * null where it has none: the router tells both apart from nothing.
 *
 * @see RFC 9110, section 15.5.6
 */
export function otherMethods(fastify: FastifyInstance): (request: FastifyRequest) => DomainError | null {
  const known = new Map<string, KnownPath>();
  fastify.addHook('onRoute', ({ method, url }) => {
    const path = known.get(url) ?? { pattern: patternOf(url), methods: new Set() };
    known.set(url, path);
    for (const name of [method].flat()) path.methods.add(name);
  });
  return ({ url }) => {
    const [path] = url.split('?', 1);
    const methods = [...known.values()].filter(({ pattern }) => pattern.test(path!)).map((each) => each.methods);
    return methods.length === 0 ? null : methodNotAllowed(methods.flatMap((names) => [...names]));
  };
}

/** The paths that the router gives to `url`: `:name` is one part of a path, `*` all that follows. */
function patternOf(url: string): RegExp {
  const parts = url.split(/(:[A-Za-z]+|\*)/).map((part) => {
    if (part === '*') return '.*';
    return part.startsWith(':') ? '[^/]+' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${parts.join('')}$`);
}
