import type { KnownCaller } from '../../access/caller.js';
import type { RequestPlace } from '../in-flight.js';

/** A route that the short cut answers: one that services call for each request of their own. */
export interface ShortRoute {
  /** Below the prefix of the API. */
  readonly path: string;
  /**
   * The JSON of a 200, synchronous where memory suffices. Null: the ordinary route must answer, and nothing was
   * consumed.
   *
   * @throws DomainError as the ordinary route does, also as the promise's rejection
   */
  answer(body: unknown, caller: KnownCaller, place: RequestPlace): string | Promise<string> | null;
}
