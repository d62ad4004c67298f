import type { Caller } from '../access/caller.js';

/** How long a person has for the code: the console asks for it after the password. */
const WAIT_MS = 60_000;
/** Right passwords that wait at most; of more, the oldest is given at once. */
const MAX_WAITING = 1_000;

/** A right password that came without a code. */
export interface RightPassword {
  readonly caller: Pick<Caller, 'ip' | 'requestId'>;
  readonly userId: string;
  /** By the clock of the database. */
  readonly at: Date;
}

/**
 * Right passwords without a code, of users who have a second factor. Each is the first step of a sign-in, or a stolen
 * password: which of them, a minute tells.
 */
export class MissingCodes {
  private waiting: (RightPassword & { readonly untilMs: number })[] = [];

  add(password: RightPassword, nowMs: number): void {
    this.waiting.push({ ...password, untilMs: nowMs + WAIT_MS });
  }

  /** Forgets those whose minute is over, and gives them. */
  take(nowMs: number): RightPassword[] {
    const excess = this.waiting.length - MAX_WAITING;
    const isDue = ({ untilMs }: { untilMs: number }, index: number) => untilMs <= nowMs || index < excess;
    const due = this.waiting.filter(isDue);
    if (due.length > 0) this.waiting = this.waiting.filter((one, index) => !isDue(one, index));
    return due;
  }
}
