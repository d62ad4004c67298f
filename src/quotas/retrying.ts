import { isRetriable } from '../common/database-errors.js';

const TRIES = 4;

/** Runs a statement again that lost against another one: after a deadlock, or a row that was changed meanwhile. */
export async function retrying<T>(run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      if (tries === TRIES || !isRetriable(error)) throw error;
    }
  }
}
