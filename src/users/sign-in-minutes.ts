/**
 * Why a sign-in fails: the password, the code, none after a right password, a limit, or what the identity provider
 * said.
 */
export const FAILURE_REASONS = [
  'wrong-password',
  'wrong-code',
  'missing-code',
  'throttled',
  'identity-provider',
] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

/** One sign-in that failed. */
export interface Failure {
  readonly ip: string | null;
  readonly requestId: string | null;
  /** The account that was tried; null: there is none, or it is not known. */
  readonly userId: string | null;
  readonly reason: FailureReason;
}

/** The failures of one address, or of several, within a minute. */
export interface MinuteOfFailures {
  readonly ip: string | null;
  /** Of the last one. */
  readonly requestId: string | null;
  readonly reasons: Readonly<Partial<Record<FailureReason, number>>>;
  /** The accounts that were tried, each once; some of them, where there are many. */
  readonly userIds: readonly string[];
  /** Whether they are of several addresses, for want of rows. */
  readonly isShared: boolean;
}

/** Addresses that have a row of their own in a minute; the others share one. */
const MAX_ADDRESSES = 20;
/** Accounts that a row names. */
const MAX_ACCOUNTS = 20;
const MINUTE_MS = 60_000;

interface Tally {
  readonly untilMs: number;
  readonly ip: string | null;
  requestId: string | null;
  readonly reasons: Partial<Record<FailureReason, number>>;
  readonly userIds: Set<string>;
}

/**
 * Counts failed sign-ins by address and minute, so that a flood becomes at most 21 rows a minute, whatever it comes
 * from. A minute begins with its first failure.
 */
export class SignInMinutes {
  private readonly tallies = new Map<string, Tally>();
  private shared: Tally | null = null;

  count({ ip, requestId, userId, reason }: Failure, nowMs: number): void {
    const tally = this.tallyOf(ip, nowMs);
    tally.requestId = requestId;
    tally.reasons[reason] = (tally.reasons[reason] ?? 0) + 1;
    if (userId !== null && tally.userIds.size < MAX_ACCOUNTS) tally.userIds.add(userId);
  }

  /** Forgets the minutes that have ended by now, and gives what they counted. */
  close(nowMs: number): MinuteOfFailures[] {
    const ended = [...this.tallies].filter(([, { untilMs }]) => untilMs <= nowMs);
    for (const [address] of ended) this.tallies.delete(address);
    const minutes = ended.map(([, tally]) => minuteOf(tally, false));
    if (this.shared !== null && this.shared.untilMs <= nowMs) {
      minutes.push(minuteOf(this.shared, true));
      this.shared = null;
    }
    return minutes;
  }

  private tallyOf(ip: string | null, nowMs: number): Tally {
    const address = ip ?? '';
    const known = this.tallies.get(address);
    if (known !== undefined) return known;
    const tally = { untilMs: nowMs + MINUTE_MS, ip, requestId: null, reasons: {}, userIds: new Set<string>() };
    if (this.tallies.size >= MAX_ADDRESSES) return (this.shared ??= tally);
    this.tallies.set(address, tally);
    return tally;
  }
}

function minuteOf({ ip, requestId, reasons, userIds }: Tally, isShared: boolean): MinuteOfFailures {
  return { ip, requestId, reasons, userIds: [...userIds], isShared };
}
