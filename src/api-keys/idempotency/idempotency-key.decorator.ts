import { applyDecorators, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiHeader, ApiUnprocessableEntityResponse } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { validationFailed } from '../../common/domain-error.js';
import { ProblemView } from '../../common/problem.view.js';

const SHAPE = /^[\x21-\x7e]{1,128}$/;

/**
 * The header `Idempotency-Key`, or null when it was not sent. @throws DomainError 400 for anything but 1 to 128 visible
 * ASCII
 */
export const FromIdempotencyKey = createParamDecorator((_: unknown, context: ExecutionContext): string | null => {
  const value = context.switchToHttp().getRequest<FastifyRequest>().headers['idempotency-key'];
  if (value === undefined) return null;
  // Two of them arrive as one text, joined by a comma and a space.
  if (typeof value === 'string' && SHAPE.test(value)) return value;
  throw validationFailed([
    { path: 'Idempotency-Key', message: 'must be 1 to 128 visible ASCII characters, and sent once' },
  ]);
});

/** How the documents show the header, and what a route that takes it may answer. */
export function TakesIdempotencyKey(): MethodDecorator {
  return applyDecorators(
    ApiHeader({
      name: 'Idempotency-Key',
      required: false,
      description:
        '1 to 128 visible ASCII characters of your choice. For ten minutes the same request with it gets the same answer, the secret included, marked `Idempotency-Replayed: true`.',
      schema: { type: 'string', minLength: 1, maxLength: 128 },
      example: 'deploy-2027-03-01-1',
    }),
    ApiUnprocessableEntityResponse({
      description: '`IDEMPOTENCY_KEY_REUSED`: the key came with another request before.',
      type: ProblemView,
    }),
  );
}
