import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Clock } from '../common/clock.js';
import { Attempts } from '../common/attempts.js';
import { Conditions } from '../common/conditions.js';
import { Metrics } from '../common/metrics.js';
import { microCentsFromCents } from '../common/money.js';
import { traceWork } from '../common/trace-work.js';
import { uuidv7 } from '../common/uuid.js';
import { Config } from '../config/config.js';
import { sessionConfigOf } from '../database/session-config.js';
import type { Admission, BudgetState, CountedDraw, WindowState } from './admission.js';
import type { Account, RateWindow } from './quota-store.js';
import { POOLED_TTL_SECONDS, SLOT } from './quota-store.js';
import type { Sql } from './sql.js';
import { closeInRounds } from './close-rounds.js';
import { ClockWatch } from './clock-watch.js';
import { FutureLeases } from './future-leases.js';
import { accountsFor, type KeyLimits, slotsFor, windowsFor } from './key-limits.js';
import { GrantMemory } from './grant-memory.js';
import type { UnusedLease } from './lease.js';
import { LeaseManager } from './lease-manager.js';
import { monthOf } from './period.js';
import { PostgresQuotaStore } from './postgres-quota-store.js';
import { QuotaConnections } from './quota-connections.js';
import { PostgresSlotStore } from './slots/postgres-slot-store.js';
import type { Renewal, RenewalResult } from './slots/slot-store.js';
import { ReservationSigner } from './reservation.js';
import { Periodic } from '../common/periodic.js';

/** How often this replica looks for leases whose holders are gone. */
const JANITOR_MS = 1_000;
const MAX_CLOSED_AT_ONCE = 500;
/** How often it looks for leases of the future, which only a clock that has stepped back leaves. */
const LOOK_AHEAD_MS = 10_000;
/** Leases of the future that are watched at the same time. Those beyond wait a hold longer for each time it is full. */
const MAX_WATCHED_OF_FUTURE = 10_000;
/** Ends of reservations are kept as long as usage ids: a repeat after that counts anew. */
const RESERVATION_DAYS = 35;
const FORGET_EVERY_MS = 60_000;
const MAX_FORGOTTEN_AT_ONCE = 10_000;

/** A verify waits so long at most for what it had reserved under former limits, before it is decided again. */
const MOST_RELEASE_MS = 300;

const NO_LEASES =
  'Leases of budgets and rate limits cannot be had: keys with limits are refused as UNAVAILABLE once their leases are used up.';

/** What a call asks of a key's limits. */
export interface QuotaQuestion {
  /** Requests it counts as. */
  readonly cost: number;
  /** Upper bound of what it will cost, in micro-cents; null: the caller does not reserve. */
  readonly reserveMicroCents: bigint | null;
  /** Upper bound of the tokens it will take; null: the caller does not reserve any. */
  readonly reserveTokens: bigint | null;
  /** The caller has not said how many tokens: those of the key are taken. */
  readonly isAssumed: boolean;
  /** 1…1800. */
  readonly ttlSeconds: number;
  /** What the caller asks for; absent: any, so that limits of every model bind the call. */
  readonly model?: string | undefined;
}

/** A reservation as its caller gets it. */
export interface GivenReservation {
  /** Opaque and signed, at most 1 024 characters. */
  readonly id: string;
  readonly expiresAt: Date;
  readonly amountMicroCents: bigint;
  /** null: none were asked for, nor assumed. */
  readonly tokens: bigint | null;
  readonly isAssumed: boolean;
}

/** Most calls reserve nothing and count once. */
export const ONE_REQUEST: QuotaQuestion = Object.freeze({
  cost: 1,
  reserveMicroCents: null,
  reserveTokens: null,
  isAssumed: false,
  ttlSeconds: POOLED_TTL_SECONDS,
});

/**
 * Budgets and rate windows of this replica: the lease manager with real clocks, PostgreSQL behind it, the janitor
 * beside it. It drops what it holds for a key when the change feed names the key.
 */
@Injectable()
export class Quotas implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Quotas');
  private readonly store: PostgresQuotaStore;
  private readonly slots: PostgresSlotStore;
  private readonly connections: QuotaConnections;
  private readonly grants: GrantMemory;
  private readonly leaseManager: LeaseManager;
  private readonly watch = new ClockWatch();
  private readonly future = new FutureLeases();
  private readonly defaultHold: bigint;
  private readonly janitors = [
    new Periodic(JANITOR_MS, () => this.closeExpired()),
    new Periodic(LOOK_AHEAD_MS, () => this.closeFuture()),
    new Periodic(FORGET_EVERY_MS, () => this.forgetReservations()),
  ];
  private readonly attempts = new Attempts();
  private isAway = false;

  constructor(
    dataSource: DataSource,
    private readonly clock: Clock,
    private readonly signer: ReservationSigner,
    config: Config,
    meters: Metrics,
    conditions: Conditions,
  ) {
    this.connections = new QuotaConnections(sessionConfigOf(dataSource, 'quotas', 'data-plane'));
    const sql: Sql = (text, values, name) =>
      name === undefined
        ? dataSource.query(text, [...values])
        : this.attempts.run(() => traceWork('quotas', () => this.connections.query(text, values, name)));
    this.store = new PostgresQuotaStore(sql);
    this.slots = new PostgresSlotStore(sql);
    this.defaultHold = microCentsFromCents(config.defaultReservationCents);
    this.grants = new GrantMemory(this.store, () => clock.monotonicMs());
    const options = {
      replicaId: uuidv7(),
      shareReplicas: config.rateLimitFallback === 'local-share' ? config.rateLimitFallbackReplicas : null,
    };
    this.leaseManager = new LeaseManager(this.grants, clock, () => uuidv7(), options, this.slots);
    this.meter(meters);
    conditions.register('limits', 'budgets and rate limits are leased from PostgreSQL', () =>
      this.attempts.areFailing ? NO_LEASES : null,
    );
  }

  private meter(meters: Metrics): void {
    meters.gauge(
      'latchkey_lease_entries',
      'Budgets and rate windows in the memory of this replica.',
      () => this.leaseManager.stats().entries,
    );
    meters.gauge(
      'latchkey_lease_requests_queued',
      'Verifies that wait for a lease.',
      () => this.leaseManager.stats().waiting,
    );
    meters.gauge(
      'latchkey_lease_acquires_in_flight',
      'Statements that ask for leases.',
      () => this.leaseManager.stats().calls,
    );
    meters.gauge(
      'latchkey_lease_returns_queued',
      'Leases that wait to be handed back.',
      () => this.leaseManager.stats().returns,
    );
    meters.count(
      'latchkey_lease_refills_total',
      'Rate windows of keys for which permits were asked for ahead.',
      () => this.leaseManager.stats().refillsAsked,
    );
    meters.count(
      'latchkey_lease_refills_dropped_total',
      'Of these, those that brought none: near a limit, or because PostgreSQL did not answer.',
      () => this.leaseManager.stats().refillsDropped,
    );
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.connections.open();
    for (const janitor of this.janitors) janitor.start();
  }

  /** The last requests have been answered: hands everything back. */
  async onApplicationShutdown(): Promise<void> {
    for (const janitor of this.janitors) void janitor.stop();
    await this.leaseManager.stop();
    await this.connections.close();
  }

  /**
   * Takes the call from all windows and accounts of the key, or from none: at once where memory suffices, else by a
   * promise. After a promise read the key's record again: it may have changed meanwhile.
   */
  admit(limits: KeyLimits, question: QuotaQuestion): Admission | Promise<Admission> {
    const accounts = accountsFor(limits, question.model);
    // Placed in the key's own budget, which comes first where there is one.
    const own = accounts[0];
    const isDefaultHold =
      question.reserveMicroCents === null && this.defaultHold > 0n && own !== undefined && own.limit === undefined;
    const slots = slotsFor(limits, question.model);
    return this.leaseManager.admit({
      accounts,
      windows: windowsFor(limits, question.model),
      cost: question.cost,
      reserve: question.reserveMicroCents ?? (isDefaultHold ? this.defaultHold : 0n),
      reserveTokens: question.reserveTokens ?? 0n,
      // A caller that reserves tokens reports by the reservation, and says how long it holds.
      ttlSeconds: isDefaultHold && question.reserveTokens === null ? POOLED_TTL_SECONDS : question.ttlSeconds,
      isDefaultHold,
      slots: slots === null ? undefined : { accounts: slots, ttlSeconds: question.ttlSeconds },
    });
  }

  /**
   * The signed reservation of an admitted call; null where none was asked for and no slot is held. A key without a
   * budget gets one as well, so that its caller settles alike for every key.
   */
  reservationOf(
    admission: Admission,
    keyId: string,
    callerId: string,
    question: QuotaQuestion,
    databaseNowMs: number,
  ): GivenReservation | null {
    if (!admission.admitted) return null;
    const parts = admission.reservation;
    const amount = parts?.amount ?? question.reserveMicroCents ?? 0n;
    const hasSlots = parts !== null && parts.holds.some(({ period }) => period === SLOT);
    if (amount === 0n && (question.reserveTokens ?? 0n) === 0n && !hasSlots) return null;
    const expiresAtMs = Math.floor((parts?.expiresAtMs ?? databaseNowMs + question.ttlSeconds * 1000) / 1000) * 1000;
    const id = this.signer.sign({
      keyId,
      reservationId: uuidv7(),
      callerId,
      amount,
      tokens: parts?.tokens ?? 0n,
      month: parts?.month ?? monthOf(databaseNowMs),
      expiresAtMs,
      isDefaultHold: parts?.isDefaultHold ?? false,
      holds: parts?.holds ?? [],
    });
    const { reserveTokens: tokens, isAssumed } = question;
    return { id, expiresAt: new Date(expiresAtMs), amountMicroCents: amount, tokens, isAssumed };
  }

  /**
   * Ends a reservation that its caller has not been told of. What it holds is free again once this resolves, or a
   * moment later where PostgreSQL takes long. Never rejects.
   */
  async release(reservationId: string): Promise<void> {
    const reservation = this.signer.open(reservationId);
    if (reservation === null) return;
    const { keyId, reservationId: id, month, holds, amount: reserved, tokens: reservedTokens } = reservation;
    const amounts = { reserved, reservedTokens, amount: 0n };
    const settlement = { kind: 'release' as const, keyId, reservationId: id, month, holds, ...amounts };
    const released = this.quietly('What a call had reserved under former limits could not be released', async () => {
      await this.store.settle([{ ...settlement, settledBy: '', defaultHold: 0n }]);
      for (const { accountId } of holds) this.noteFreed(accountId);
    });
    const isLong = new Promise<void>((resolve) => setTimeout(resolve, MOST_RELEASE_MS).unref());
    await Promise.race([released, isLong]);
  }

  /** Undoes what an admitted call was counted as: it is refused after all, or decided anew. */
  uncount(draws: readonly CountedDraw[]): void {
    this.leaseManager.uncount(draws);
  }

  /** Holds reservations for longer; a result for each, in order. */
  renew(renewals: readonly Renewal[]): Promise<RenewalResult[]> {
    return this.slots.renew(renewals);
  }

  /** What is known of a window, as of the last acquire; null before the first. */
  findWindow(window: RateWindow): WindowState | null {
    return this.leaseManager.findWindow(window);
  }

  /** What is known of a budget, as of the last acquire; null before the first. */
  findBudget(account: Account): BudgetState | null {
    return this.leaseManager.findBudget(account);
  }

  /** A reservation of this account has ended, in a commit of this replica. */
  noteFreed(accountId: string): void {
    this.leaseManager.noteFreed(accountId);
  }

  /** What no reservation holds of the leases that this replica has of an account. */
  unusedOf(accountId: string): UnusedLease[] {
    return this.leaseManager.unusedOf(accountId);
  }

  /** A change of this key was applied here; null: of any key. */
  onKeyChanged(keyId: string | null): void {
    if (keyId === null) this.leaseManager.dropHeld();
    else this.leaseManager.dropKey(keyId);
  }

  /** A change of this limit was applied here; null: of any limit. */
  onLimitChanged(limitId: string | null): void {
    if (limitId === null) this.leaseManager.dropHeld();
    else this.leaseManager.dropLimit(limitId);
  }

  /** The database has another history now. */
  onEpochChanged(): void {
    this.leaseManager.dropAll();
  }

  /** Budget leases granted since a monotonic instant; null if not all are remembered, which is a few seconds' worth. */
  grantedSince(atMs: number): readonly string[] | null {
    return this.grants.since(atMs);
  }

  /**
   * When the newest grant of a budget lease that was acknowledged by `atMs` was asked for, monotonic, among those of
   * the last seconds; -Infinity: none was.
   */
  newestGrantAskedFor(atMs: number): number {
    return this.grants.newestSentOfThoseAnsweredBy(atMs);
  }

  /** Grants before this monotonic instant are asked for no more. */
  forgetGrantsBefore(atMs: number): void {
    this.grants.forgetBefore(atMs);
  }

  /** It has been seen which leases the new history has: they may be handed back. */
  handBackNow(): void {
    this.leaseManager.handBackNow();
  }

  /** Every live replica has shown that the new history has all its leases: limited keys need not wait any longer. */
  resume(): void {
    this.leaseManager.resume();
  }

  /**
   * One poll of the database's clock, for the janitor's watch over it, and of full budgets; instants are monotonic.
   *
   * @param full accounts; null: too many to be told, or not asked for
   */
  onPolled(sentMs: number, receivedMs: number, databaseMs: number, full: readonly string[] | null): void {
    const isClockEven = this.watch.observe(sentMs, receivedMs, databaseMs);
    this.leaseManager.onPolled({ sentMs, isClockEven, full });
  }

  /** How many replicas share what is left near a limit. */
  setLiveReplicas(count: number): void {
    this.leaseManager.setLiveReplicas(count);
  }

  private async closeExpired(): Promise<void> {
    await this.quietly('Leases past their hold could not be closed', () =>
      closeInRounds(
        () => this.watch.closeOrder(this.clock.monotonicMs(), MAX_CLOSED_AT_ONCE),
        (order) => this.store.closeExpired(order),
      ),
    );
  }

  private async closeFuture(): Promise<void> {
    await this.quietly('Leases of the future could not be looked for', async () => {
      const found = await this.store.findFuture(MAX_WATCHED_OF_FUTURE);
      const nowMs = this.clock.monotonicMs();
      const due = this.future.due(found, nowMs, this.watch.closeOrder(nowMs, MAX_CLOSED_AT_ONCE));
      if (due.length === 0) return;
      const closed = await this.store.closeFuture(due.slice(0, MAX_CLOSED_AT_ONCE));
      this.logger.warn(
        `The database's clock was ahead and stepped back: ${closed} leases from its future were closed.`,
      );
    });
  }

  private async forgetReservations(): Promise<void> {
    await this.quietly('Old reservations could not be forgotten', () =>
      this.store.forgetReservations(RESERVATION_DAYS, MAX_FORGOTTEN_AT_ONCE),
    );
  }

  /** Housekeeping waits for better times; it is said once an outage. */
  private async quietly(what: string, run: () => Promise<unknown>): Promise<void> {
    try {
      await run();
      this.isAway = false;
    } catch (error) {
      if (!this.isAway) this.logger.warn(`${what}: ${(error as Error).message}`);
      this.isAway = true;
    }
  }
}
