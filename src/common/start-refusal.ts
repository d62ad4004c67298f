import { DomainError } from './domain-error.js';

/**
 * A start that must not go on. The message is one sentence for an operator: what is wrong, and what to do. It names
 * settings and roles, never the value of a secret. The process prints it without a stack and exits with code 1.
 */
export class StartRefusal extends Error {
  override readonly name: string = 'StartRefusal';
}

/** What to print of an error that ends a start or a command, in one sentence; null: only its stack tells what it is. */
export function sentenceOf(error: unknown): string | null {
  if (error instanceof StartRefusal) return error.message;
  if (!(error instanceof DomainError)) return null;
  // What a client is told is not all: the cause names the setting, or what the database said.
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

/** One thing that must hold before a process serves. `npm run doctor` runs the same checks before all others. */
export interface StartCheck {
  /** What holds when nothing is refused, as a fact: "every secret is the one this database was made with". */
  readonly check: string;
  /**
   * Returns what is worth knowing all the same, or null.
   *
   * @throws StartRefusal when the process must not start
   */
  readonly run: () => Promise<string | null>;
}
