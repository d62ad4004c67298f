import { Logger } from '@nestjs/common';
import { type DomainError, unavailable } from './domain-error.js';

/** Versions told in the log; a caller can make up more of them in a reservation id. */
const MAX_TOLD = 20;

const logger = new Logger('Secrets');
const told = new Set<string>();
const listeners = new Set<(variable: string) => void>();

/**
 * 503 for what was made with a version of a secret that this process lacks. The log names variable and version, once
 * for each version; the answer names neither, because it may go to an unknown caller.
 */
export function missingVersion(variable: string, version: string): DomainError {
  const cause = `${variable} has no version ${version} here: add it behind the others, and restart this replica.`;
  for (const listener of listeners) listener(variable);
  const name = `${variable} ${version}`;
  if (!told.has(name) && told.size < MAX_TOLD) {
    told.add(name);
    logger.error({ msg: 'a version of a secret is missing', variable, version, cause });
  }
  return unavailable('This replica cannot decide that at the moment. Send the request again.', new Error(cause));
}

/** Calls `listener` with the variable each time a version is missing, until the result is called. */
export function onMissingVersion(listener: (variable: string) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
