import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { createHmac, hkdfSync } from 'node:crypto';
import { Attempts } from '../common/attempts.js';
import { Clock } from '../common/clock.js';
import { Conditions } from '../common/conditions.js';
import { RepeatedLog } from '../common/repeated-log.js';
import { Config } from '../config/config.js';
import { type Limit, SignInCounters } from './sign-in-counters.js';
import { type AccountFailures, SignInCountsRepository } from './sign-in-counts.repository.js';

/** The database is told of failures this often at most. */
const TELL_EVERY_MS = 1_000;
/** Counters told at once; the others wait for the next second. */
const MAX_TOLD = 1_000;
/** Accounts whose failures wait to be told; a longer outage forgets the oldest. */
const MAX_ACCOUNTS = 10_000;
const COUNTER_BYTES = 16;

const NOT_TOLD =
  'Failed sign-ins cannot be written to the database: each replica limits guessing by what it has seen itself.';

/**
 * The failed sign-ins of all replicas: each reads what the others have counted before it lets a password be tried, and
 * tells what it has counted itself, in at most one statement a second, however many sign-ins fail.
 *
 * @see docs/adr/0023-guessing-is-slowed-by-all-replicas.md
 */
@Injectable()
export class SignInExchange implements OnApplicationShutdown {
  private readonly counters = new SignInCounters();
  private readonly key: Buffer;
  private accounts = new Map<string, AccountFailures>();
  private readonly attempts = new Attempts();
  private readonly log: RepeatedLog;
  private timer: NodeJS.Timeout | undefined;
  private telling: Promise<void> = Promise.resolve();
  private isClosed = false;

  constructor(
    private readonly repository: SignInCountsRepository,
    private readonly clock: Clock,
    config: Config,
    conditions: Conditions,
  ) {
    this.key = counterKey(config);
    const logger = new Logger('SignIn');
    this.log = new RepeatedLog((fields) => logger.warn(fields));
    conditions.register(
      'signIns',
      'failed sign-ins are counted over all replicas',
      () => (this.attempts.areFailing ? NOT_TOLD : null),
      'warn',
    );
  }

  /** The counter of something, without its text: an address that was mistyped may be a password. */
  counterOf(kind: string, value: string): string {
    return createHmac('sha256', this.key)
      .update(`${kind}\0${value}`)
      .digest()
      .subarray(0, COUNTER_BYTES)
      .toString('hex');
  }

  /**
   * Milliseconds until `limits` admit a try, by what this replica knows without asking; null: now, for all it knows.
   */
  knownRefusal(limits: readonly Limit[]): number | null {
    return this.counters.refusal(limits, this.clock.monotonicMs());
  }

  /** As {@link knownRefusal}, with what the other replicas have told. @throws when the database is away */
  async refusal(limits: readonly Limit[]): Promise<number | null> {
    const stored = await this.repository.find(limits.map(({ counter }) => counter));
    this.counters.learn(stored, this.clock.monotonicMs());
    return this.knownRefusal(limits);
  }

  /** Counts a try that begins; the function that it returns must be called with how it ended. */
  begin(limits: readonly Limit[]): (hasFailed: boolean) => void {
    this.counters.begin(limits, this.clock.monotonicMs());
    return (hasFailed) => {
      this.counters.end(limits, hasFailed, this.clock.monotonicMs());
      if (hasFailed) this.tellSoon();
    };
  }

  /** Notes a failure for the person of an account. */
  noteAccount(userId: string, ip: string | null): void {
    const known = this.accounts.get(userId);
    if (known === undefined && this.accounts.size >= MAX_ACCOUNTS)
      this.accounts.delete(this.accounts.keys().next().value!);
    this.accounts.set(userId, { failures: (known?.failures ?? 0) + 1, lastAt: this.clock.now(), lastIp: ip });
    this.tellSoon();
  }

  /** Tells now what waits about an account, so that its person is told of everything. */
  async tellOf(userId: string): Promise<void> {
    await this.telling;
    if (this.accounts.has(userId)) await this.tell();
  }

  async onApplicationShutdown(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    await this.telling;
    await this.tell();
    this.log.flush();
  }

  private tellSoon(): void {
    if (this.isClosed) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.tell();
    }, TELL_EVERY_MS).unref();
  }

  private async tell(): Promise<void> {
    const previous = this.telling;
    this.telling = previous.then(() => this.tellOnce());
    await this.telling;
    if (this.accounts.size > 0 || this.counters.hasUntold) this.tellSoon();
  }

  private async tellOnce(): Promise<void> {
    const batch = this.counters.tell(MAX_TOLD);
    const accounts = this.accounts;
    if (batch.size === 0 && accounts.size === 0) return;
    this.accounts = new Map();
    try {
      const stored = await this.attempts.run(() => this.repository.add(batch, accounts));
      this.counters.told(batch, stored, this.clock.monotonicMs());
    } catch (error) {
      this.counters.notTold(batch);
      this.accounts = merged(accounts, this.accounts);
      this.log.add('not told', { msg: NOT_TOLD, cause: (error as Error).message });
    }
  }
}

/** Which version it is derived from does not follow the order of the list: replicas agree while secrets are changed. */
function counterKey({ jwtSecrets }: Config): Buffer {
  const [first] = [...jwtSecrets].sort((a, b) => (a.version < b.version ? -1 : 1));
  return Buffer.from(hkdfSync('sha256', first!.key, '', 'latchkey sign-in counters', 32));
}

function merged(
  older: ReadonlyMap<string, AccountFailures>,
  newer: ReadonlyMap<string, AccountFailures>,
): Map<string, AccountFailures> {
  const all = new Map(older);
  for (const [userId, { failures, lastAt, lastIp }] of newer) {
    all.set(userId, { failures: (older.get(userId)?.failures ?? 0) + failures, lastAt, lastIp });
  }
  return all;
}
