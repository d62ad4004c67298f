import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../access/caller.js';
import { Clock } from '../common/clock.js';
import { DomainError, validationFailed } from '../common/domain-error.js';
import { Metrics, type Tally } from '../common/metrics.js';
import { type Hold, NO_LEASE, SLOT, WINDOW } from '../quotas/quota-store.js';
import { Quotas } from '../quotas/quotas.service.js';
import { type Reservation, ReservationSigner } from '../quotas/reservation.js';
import type { Renewal, RenewalResult } from '../quotas/slots/slot-store.js';
import type { RenewReservationDto } from './renew.dto.js';
import { UsageBatcher } from './usage-batcher.js';
import type { RenewedReservationView } from './usage.view.js';

/** A caller renews each of its calls a few times a minute: many of them are one statement. */
const LIMITS = {
  maxBatch: 200,
  maxShare: 100,
  maxWaitMs: 5,
  maxInFlight: 1,
  maxQueued: 5_000,
  answerWithinMs: 1_400,
} as const;

/** A reservation is held for so long from its verify at most, however often it is renewed. */
const LONGEST_LIFE_MS = 24 * 3_600_000;

const OUTCOMES = ['renewed', 'ended', 'pooled'] as const;

/** Holds reservations for longer than was thought when they were made. */
@Injectable()
export class RenewalsService {
  private readonly batcher: UsageBatcher<Renewal, RenewalResult>;
  private readonly outcomes: Tally<(typeof OUTCOMES)[number]>;

  constructor(
    quotas: Quotas,
    private readonly signer: ReservationSigner,
    private readonly clock: Clock,
    meters: Metrics,
  ) {
    this.batcher = new UsageBatcher((renewals) => quotas.renew(renewals), clock, LIMITS);
    this.outcomes = meters.tally(
      'latchkey_reservation_renewals_total',
      'Reservations that were to be held for longer, by what became of that.',
      'outcome',
      OUTCOMES,
    );
  }

  /**
   * Holds a reservation for `ttlSeconds` from now, or for as long as it is held already if that is longer. Takes
   * nothing more, so that it is never refused for lack of room. A second time changes nothing but the time.
   *
   * @throws DomainError 400 for what is no reservation of the caller; 409 RESERVATION_ENDED,
   *   RESERVATION_NOT_RENEWABLE; 429; 503: it may have been renewed, send it again
   */
  async renew(
    { principal }: KnownCaller,
    { reservationId, ttlSeconds }: RenewReservationDto,
  ): Promise<RenewedReservationView> {
    const nowMs = this.clock.now().getTime();
    const reservation = this.signer.open(reservationId, nowMs);
    if (reservation === null || reservation.callerId !== principal.ownerId)
      throw validationFailed([{ path: 'reservationId', message: 'unknown reservation, or made by another caller' }]);
    const result = await this.resultOf(reservation, ttlSeconds, principal.id, nowMs);
    this.outcomes.count(result.outcome);
    if (result.outcome === 'renewed') return { renewed: true, expiresAt: new Date(result.untilMs).toISOString() };
    throw result.outcome === 'ended' ? ended() : notRenewable();
  }

  private async resultOf(
    reservation: Reservation,
    ttlSeconds: number,
    turn: string,
    nowMs: number,
  ): Promise<RenewalResult> {
    if (nowMs > reservation.expiresAtMs + LONGEST_LIFE_MS) return { outcome: 'ended' };
    const { keyId, reservationId } = reservation;
    const [result] = await this.batcher.submit(turn, [{ keyId, reservationId, ttlSeconds, ...leasesOf(reservation) }]);
    return result!;
  }
}

/**
 * Where slots are held, they decide: amounts that other reservations share keep no call in flight from its slot. What
 * is held in windows of tokens counts until its bucket leaves, however long the call runs.
 */
function leasesOf({ holds }: Reservation): Pick<Renewal, 'leaseIds' | 'besideIds'> {
  const held = holds.filter(({ leaseId, period }) => leaseId !== NO_LEASE && period !== WINDOW);
  const slots = held.filter(({ period }) => period === SLOT);
  const ids = (of: readonly Hold[]): string[] => of.map(({ leaseId }) => leaseId);
  if (slots.length === 0) return { leaseIds: ids(held) };
  return { leaseIds: ids(slots), besideIds: ids(held.filter(({ period }) => period !== SLOT)) };
}

function ended(): DomainError {
  return new DomainError(
    'conflict',
    'RESERVATION_ENDED',
    'The reservation has expired, or was settled or released. Verify again; usage that is reported for it is charged as late.',
  );
}

function notRenewable(): DomainError {
  return new DomainError(
    'conflict',
    'RESERVATION_NOT_RENEWABLE',
    'The reservation shares what it holds with others, and ends with them. To renew one, verify with a reservationTtlSeconds of more than 60.',
  );
}
