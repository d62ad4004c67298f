import type { FastifyRequest } from 'fastify';
import { ExtractJwt, type JwtFromRequestFunction } from 'passport-jwt';

/** Longest token that is looked at; identity providers stay far below. */
export const MAX_TOKEN_CHARACTERS = 8192;

/** passport-jwt is typed for Express, and reads nothing but `headers` of a request. */
const fromHeader = ExtractJwt.fromAuthHeaderAsBearerToken() as unknown as JwtFromRequestFunction<FastifyRequest>;

/** The bearer token of a request, or null. */
export function bearerOf(request: FastifyRequest): string | null {
  const token = fromHeader(request);
  return token !== null && token.length <= MAX_TOKEN_CHARACTERS ? token : null;
}
