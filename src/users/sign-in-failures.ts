import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Caller } from '../access/caller.js';
import { TrailRecorder } from '../audit/trail-recorder.js';
import { Clock } from '../common/clock.js';
import { Metrics } from '../common/metrics.js';
import { RepeatedLog } from '../common/repeated-log.js';
import { hashingSlots } from './hashing-slots.js';
import { MissingCodes, type RightPassword } from './missing-codes.js';
import { SignInExchange } from './sign-in-exchange.js';
import { type FailureReason, FAILURE_REASONS, type MinuteOfFailures, SignInMinutes } from './sign-in-minutes.js';
import { UsersRepository } from './users.repository.js';
import { Periodic } from '../common/periodic.js';

/** Lines of one reason in 10 s; the others are counted in one line. */
const MAX_LINES = 20;
const SWEEP_MS = 1_000;
/** A database that does not answer delays a shutdown by no more than this. */
const MAX_CLOSE_MS = 2_000;

/** What a sign-in is called in the trail, whichever way it came. */
export const LOGIN = 'auth:login';

/**
 * Tells of sign-ins that failed: in the log, in a metric, in the trail as one row a minute and address, and to the
 * person of the account. A flood writes no more than that: it must not delay a revocation.
 */
@Injectable()
export class SignInFailures implements OnApplicationShutdown {
  private readonly minutes = new SignInMinutes();
  private readonly missingCodes = new MissingCodes();
  private judging: Promise<void> = Promise.resolve();
  private readonly counter: ReturnType<Metrics['counter']>;
  private readonly log: RepeatedLog;
  private readonly sweeps = new Periodic(SWEEP_MS, () => this.sweep(this.clock.monotonicMs())).start();

  constructor(
    private readonly users: UsersRepository,
    private readonly exchange: SignInExchange,
    private readonly recorder: TrailRecorder,
    private readonly clock: Clock,
    meters: Metrics,
  ) {
    const logger = new Logger('SignIn');
    this.log = new RepeatedLog((fields) => logger.warn(fields), MAX_LINES);
    this.counter = meters.counter('latchkey_sign_in_failures_total', 'Sign-ins that failed, by reason.', ['reason']);
    meters.gauge(
      'latchkey_password_hashes_queued',
      'Passwords that wait to be checked or set. At 64 of unknown browsers their sign-ins are answered 503.',
      () => hashingSlots.queued,
    );
    for (const reason of FAILURE_REASONS) this.counter.labels(reason).inc(0);
  }

  /** @param userId the account that was tried; null: there is none, or it is not known */
  note({ ip, requestId }: Pick<Caller, 'ip' | 'requestId'>, userId: string | null, reason: FailureReason): void {
    this.counter.labels(reason).inc();
    this.log.add(reason, {
      msg: 'A sign-in failed.',
      reason,
      clientIp: ip,
      requestId,
      ...(userId === null ? {} : { userId }),
    });
    this.minutes.count({ ip, requestId, userId, reason }, this.clock.monotonicMs());
    if (userId !== null) this.exchange.noteAccount(userId, ip);
  }

  /**
   * Notes a right password without a code, of a user who has a second factor. It has failed when no sign-in of the user
   * follows within five minutes, on any replica: the person types the code meanwhile.
   */
  noteMissingCode({ ip, requestId }: Pick<Caller, 'ip' | 'requestId'>, userId: string): void {
    const password = { caller: { ip, requestId }, userId, at: this.clock.now() };
    this.missingCodes.add(password, this.clock.monotonicMs());
  }

  /**
   * What is counted of the minute that is under way is recorded, before the trail is closed. Right passwords that wait
   * for their code are forgotten: a restart must not accuse people who are typing it.
   */
  async onApplicationShutdown(): Promise<void> {
    void this.sweeps.stop();
    await Promise.race([this.judging, sleep(MAX_CLOSE_MS, undefined, { ref: false })]);
    this.recordMinutes(Number.POSITIVE_INFINITY);
    this.log.flush();
  }

  private sweep(nowMs: number): void {
    const passwords = this.missingCodes.take(nowMs);
    if (passwords.length > 0) this.judging = this.judging.then(() => this.judge(passwords));
    this.recordMinutes(nowMs);
  }

  private recordMinutes(nowMs: number): void {
    for (const minute of this.minutes.close(nowMs)) this.record(minute);
  }

  /** Where the database cannot be asked what followed, each is taken for failed: better told than hidden. */
  private async judge(passwords: readonly RightPassword[]): Promise<void> {
    if (passwords.length === 0) return;
    const signedIn = await this.users.findSignedInSince(passwords).catch(() => new Set<number>());
    for (const [index, { caller, userId }] of passwords.entries())
      if (!signedIn.has(index)) this.note(caller, userId, 'missing-code');
  }

  private record({ ip, requestId, reasons, userIds, isShared }: MinuteOfFailures): void {
    const [only] = userIds;
    const count = Object.values(reasons).reduce((sum, one) => sum + one, 0);
    this.recorder.recordLater(
      { principal: null, ip: isShared ? null : ip, requestId, action: LOGIN },
      {
        resourceType: 'user',
        resourceId: userIds.length === 1 ? only! : null,
        outcome: 'refused',
        details: {
          code: 'SIGN_IN_FAILED',
          count,
          reasons,
          ...(userIds.length > 1 ? { userIds } : {}),
          ...(isShared ? { addresses: 'several' } : {}),
        },
      },
    );
  }
}
