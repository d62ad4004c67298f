import type { FastifyReply } from 'fastify';
import type { RepeatedAnswer } from '../idempotency/idempotency.js';

/**
 * Sends an answer that may show a secret and may be a repeated one: never cached, and marked when it was given before.
 */
export function sendAnswer<T>(reply: FastifyReply, { status, body, isReplayed }: RepeatedAnswer<T>): T {
  void reply.status(status).header('Cache-Control', 'no-store');
  if (isReplayed) void reply.header('Idempotency-Replayed', 'true');
  return body;
}
