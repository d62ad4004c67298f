import type { FastifyRequest } from 'fastify';
import type { DomainError } from './domain-error.js';

/** Where the problem filter tells of refusals before it answers them; the audit trail implements it. */
export abstract class RefusalRecorder {
  /**
   * Called for every domain error. Resolves when what must be recorded of it is durable.
   *
   * @throws whatever kept it from being recorded: the answer is then 503.
   */
  abstract record(error: DomainError, request: FastifyRequest): Promise<void>;
}
