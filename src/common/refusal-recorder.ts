import type { FastifyRequest } from 'fastify';
import type { DomainError } from './domain-error.js';

/** What is known of a request that is refused. */
export type RefusedRequest = Pick<FastifyRequest, 'id' | 'ip' | 'method' | 'params' | 'caller' | 'audited'> & {
  /** `url`: the pattern of the route. */
  readonly routeOptions: { readonly url?: string | undefined };
};

/** Where the problem filter tells of refusals before it answers them; the audit trail implements it. */
export abstract class RefusalRecorder {
  /**
   * Called for every domain error. Resolves when what must be recorded of it is durable.
   *
   * @throws whatever kept it from being recorded: the answer is then 503.
   */
  abstract record(error: DomainError, request: RefusedRequest): Promise<void>;
}
