import { unavailable } from '../common/domain-error.js';

/**
 * Password hashes computed at the same time: each takes 19 MiB and one of the four threads that files and DNS share.
 */
const MAX_AT_ONCE = 2;
/** Hashes that wait, of either kind: some seconds of work. */
const MAX_WAITING = 64;

/** Who waits: `known` browsers and signed-in people go first, and cannot be kept out by a flood of others. */
export type HashingPriority = 'known' | 'unknown';

/** Bounds how many password hashes are computed at the same time, and how many wait. */
export class HashingSlots {
  private busy = 0;
  private readonly waiting: Record<HashingPriority, (() => void)[]> = { known: [], unknown: [] };

  constructor(
    private readonly maxAtOnce = MAX_AT_ONCE,
    private readonly maxWaiting = MAX_WAITING,
  ) {}

  /** Hashes that wait for a slot. */
  get queued(): number {
    return this.waiting.known.length + this.waiting.unknown.length;
  }

  /** Runs `hash` when a slot is free. @throws DomainError 503 when too many wait already */
  async run<T>(priority: HashingPriority, hash: () => Promise<T>): Promise<T> {
    await this.enter(priority);
    try {
      return await hash();
    } finally {
      this.leave();
    }
  }

  private async enter(priority: HashingPriority): Promise<void> {
    if (this.busy < this.maxAtOnce) {
      this.busy += 1;
      return;
    }
    const queue = this.waiting[priority];
    if (queue.length >= this.maxWaiting)
      throw unavailable('Too many passwords are being checked at the moment. Try again in a moment.');
    await new Promise<void>((resolve) => queue.push(resolve));
  }

  /** A slot goes to the next that waits, and is not free in between. */
  private leave(): void {
    const next = this.waiting.known.shift() ?? this.waiting.unknown.shift();
    if (next === undefined) this.busy -= 1;
    else next();
  }
}

/** The slots of this process. */
export const hashingSlots = new HashingSlots();
