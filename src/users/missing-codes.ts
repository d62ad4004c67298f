import type { Caller } from '../access/caller.js';

/** How long a person has for the code, the phone still to be found: the console asks for it after the password. */
const WAIT_MS = 300_000;
/** Right passwords that wait at most; of more, the oldest is given before its time. */
const MAX_WAITING = 1_000;
/** Of one user. Further ones are not kept: those that wait tell of the user, and they push out no other user's. */
const MAX_OF_ONE = 3;

/** A right password that came without a code. */
export interface RightPassword {
  readonly caller: Pick<Caller, 'ip' | 'requestId'>;
  readonly userId: string;
  /** By the clock of the database. */
  readonly at: Date;
}

/**
 * Right passwords without a code, of users who have a second factor. Each is the first step of a sign-in, or a stolen
 * password: which of them, the next minutes tell.
 */
export class MissingCodes {
  private waiting: (RightPassword & { readonly untilMs: number })[] = [];

  add(password: RightPassword, nowMs: number): void {
    if (this.waiting.filter(({ userId }) => userId === password.userId).length >= MAX_OF_ONE) return;
    this.waiting.push({ ...password, untilMs: nowMs + WAIT_MS });
  }

  /** Forgets those whose time is over, and gives them. */
  take(nowMs: number): RightPassword[] {
    const excess = this.waiting.length - MAX_WAITING;
    const isDue = ({ untilMs }: { untilMs: number }, index: number) => untilMs <= nowMs || index < excess;
    const due = this.waiting.filter(isDue);
    if (due.length > 0) this.waiting = this.waiting.filter((one, index) => !isDue(one, index));
    return due;
  }
}
