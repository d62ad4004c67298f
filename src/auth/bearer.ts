import { parseCookie } from 'cookie';
import type { FastifyRequest } from 'fastify';
import { ExtractJwt, type JwtFromRequestFunction } from 'passport-jwt';
import { SESSION_COOKIE } from './session-tokens.js';

/** Longest token that is looked at; identity providers stay far below. */
export const MAX_TOKEN_CHARACTERS = 8192;

/** passport-jwt is typed for Express, and reads nothing but `headers` of a request. */
const fromHeader = ExtractJwt.fromAuthHeaderAsBearerToken() as unknown as JwtFromRequestFunction<FastifyRequest>;

/** The bearer token of a request, or null. */
export function bearerOf(request: FastifyRequest): string | null {
  const token = fromHeader(request);
  return token !== null && token.length <= MAX_TOKEN_CHARACTERS ? token : null;
}

/** The console's token, when no `Authorization` takes precedence. */
export function sessionCookieOf(request: FastifyRequest): string | null {
  const { authorization, cookie } = request.headers;
  if (authorization !== undefined || cookie === undefined) return null;
  const token = parseCookie(cookie)[SESSION_COOKIE];
  return token !== undefined && token.length <= MAX_TOKEN_CHARACTERS ? token : null;
}
