import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../access/caller.js';
import { Clock } from '../common/clock.js';
import { DomainError, validationFailed } from '../common/domain-error.js';
import { centsFromMicroCents } from '../common/money.js';
import { ReservationSigner } from '../quotas/reservation.js';
import { UsageBatcher } from './usage-batcher.js';
import { type BookEntry, type BookResult, entryOf } from './usage-entry.js';
import { alreadySettled, usageConflict } from './usage.errors.js';
import { parseReports } from './usage-parser.js';
import { type ReleasedReservationView, UsageReceiptView } from './usage.view.js';

/** Takes reports of usage into the books, and drops reservations. */
@Injectable()
export class UsageService {
  constructor(
    private readonly batcher: UsageBatcher<BookEntry, BookResult>,
    private readonly signer: ReservationSigner,
    private readonly clock: Clock,
  ) {}

  /**
   * Books the events of `body`, each by itself; gives the receipt after the commit.
   *
   * @throws DomainError 400 naming every wrong field, nothing is booked then; 409 USAGE_CONFLICT, ALREADY_SETTLED with
   *   the members of the receipt, the rest is booked; 503: some may be booked, send all of them again
   */
  async report(caller: KnownCaller, body: unknown): Promise<UsageReceiptView> {
    const callerId = caller.principal.ownerId;
    const now = this.clock.now();
    const parsed = parseReports(body, { now, callerId, openReservation: (text) => this.signer.open(text, now.getTime()) });
    if ('errors' in parsed) throw validationFailed(parsed.errors);
    const booked = await this.batcher.submit(parsed.reports.map((report) => entryOf(callerId, report)));
    const receipt = UsageReceiptView.from(parsed.reports.map(({ id }) => id), booked);
    if (booked.some(({ outcome }) => outcome === 'conflict' || outcome === 'refused')) throw usageConflict(receipt);
    if (booked.some(({ outcome }) => outcome === 'already-settled')) throw alreadySettled(receipt);
    return receipt;
  }

  /**
   * Drops a reservation, so that what it holds is free at once. A second time changes nothing.
   *
   * @throws DomainError 400 for what is no reservation of the caller; 409 ALREADY_SETTLED; 503
   */
  async release(caller: KnownCaller, reservationId: string): Promise<ReleasedReservationView> {
    const reservation = this.signer.open(reservationId, this.clock.now().getTime());
    if (reservation === null || reservation.callerId !== caller.principal.ownerId) {
      throw validationFailed([{ path: 'reservationId', message: 'is no reservation of yours' }]);
    }
    const [booked] = await this.batcher.submit([{ kind: 'release', reservation }]);
    if (booked!.outcome === 'already-settled') throw alreadySettled();
    if (booked!.outcome === 'refused') throw new DomainError('conflict', 'USAGE_CONFLICT', 'The reservation could not be released; it ends by itself.');
    return { released: true, cents: centsFromMicroCents(reservation.amount) };
  }
}
