import { createHash, timingSafeEqual } from 'node:crypto';
import { unauthenticated } from '../access/access.errors.js';

/** @throws DomainError 401 when `authorization` is not the bearer token `token` */
export function requireToken(authorization: string | undefined, token: string): void {
  const presented = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
  if (presented === undefined) throw unauthenticated(false);
  if (!timingSafeEqual(digest(presented), digest(token))) throw unauthenticated(true);
}

/** Equal lengths for a comparison whose time tells nothing. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}
