import { Injectable } from '@nestjs/common';
import type { KnownCaller, Principal } from '../access/caller.js';
import { PastedSecrets } from '../api-keys/pasted-secrets.js';
import { Clock } from '../common/clock.js';
import { DomainError, validationFailed } from '../common/domain-error.js';
import { Metrics } from '../common/metrics.js';
import { centsFromMicroCents } from '../common/money.js';
import { Config } from '../config/config.js';
import { Quotas } from '../quotas/quotas.service.js';
import { ReservationSigner } from '../quotas/reservation.js';
import { ReportReader } from './report-reader.js';
import { UsageBatcher } from './usage-batcher.js';
import { reservationOf } from './usage-insert.js';
import { type BookEntry, type BookResult, entryOf } from './usage-entry.js';
import { alreadySettled, invalidEvents, usageConflict } from './usage.errors.js';
import { eventsOf, parseEvent } from './usage-parser.js';
import { type ReleasedReservationView, UsageReceiptView } from './usage.view.js';

/** The place of a request among those in flight; null where they are not counted. */
export type ReportPlace = { claim(party: string): boolean } | null;

/** Takes reports of usage into the books, and drops reservations. */
@Injectable()
export class UsageService {
  /** Reports that were refused because others of their caller fill what is in flight. */
  private crowded = 0;

  constructor(
    private readonly batcher: UsageBatcher<BookEntry, BookResult>,
    private readonly signer: ReservationSigner,
    private readonly pasted: PastedSecrets,
    private readonly clock: Clock,
    private readonly reader: ReportReader,
    private readonly config: Config,
    private readonly quotas: Quotas,
    meters: Metrics,
  ) {
    meters.count(
      'latchkey_usage_throttled_total',
      'Reports answered 429 because too many of the same caller waited.',
      () => batcher.throttled + reader.throttled + this.crowded,
    );
  }

  /**
   * Books the events of `body`, each by itself; gives the receipt after the commit.
   *
   * @throws DomainError 400 naming every wrong field, 409 USAGE_CONFLICT, ALREADY_SETTLED, all with the members of the
   *   receipt: the rest is booked; 400 for a body that is no list of events; 429: too many reports of the caller wait;
   *   503: some may be booked, send all again
   */
  async report(caller: KnownCaller, body: unknown, place: ReportPlace = null): Promise<UsageReceiptView> {
    this.requireShare(caller, place);
    const callerId = caller.principal.ownerId;
    const now = this.clock.now();
    const openReservation = (text: string) => this.signer.open(text, now.getTime());
    const showsSecret = (text: string) => this.pasted.isIn(text);
    const listed = eventsOf(body);
    if ('errors' in listed) throw validationFailed(listed.errors);
    const turn = turnOf(caller.principal);
    // Before the work: what would not be taken costs those of other callers no time.
    this.batcher.requireRoom(turn, listed.events.length);
    const context = { now, callerId, openReservation, showsSecret };
    const read = await this.reader.read(turn, listed.events, (raw) => {
      const event = parseEvent(raw, context);
      return { event, entry: 'report' in event ? entryOf(callerId, event.report) : null };
    });
    const events = read.map(({ event }) => event);
    const entries = read.flatMap(({ entry }) => entry ?? []);
    const booking = await this.batcher.submit(turn, entries);
    for (const entry of entries) this.noteFreed(entry);
    const receipt = UsageReceiptView.from(events, booking, this.config.maxEventCostCents);
    const { results: booked } = receipt;
    if (booked.some(({ outcome }) => outcome === 'invalid')) throw invalidEvents(events, receipt);
    if (booked.some(({ outcome }) => outcome === 'conflict' || outcome === 'refused')) throw usageConflict(receipt);
    if (booked.some(({ outcome }) => outcome === 'already-settled')) throw alreadySettled(receipt);
    return receipt;
  }

  /**
   * Drops a reservation, so that what it holds is free at once. A second time changes nothing.
   *
   * @throws DomainError 400 for what is no reservation of the caller; 409 ALREADY_SETTLED; 429; 503
   */
  async release(
    caller: KnownCaller,
    reservationId: string,
    place: ReportPlace = null,
  ): Promise<ReleasedReservationView> {
    this.requireShare(caller, place);
    const reservation = this.signer.open(reservationId, this.clock.now().getTime());
    if (reservation === null || reservation.callerId !== caller.principal.ownerId) {
      throw validationFailed([{ path: 'reservationId', message: 'unknown reservation, or made by another caller' }]);
    }
    const entry: BookEntry = { kind: 'release', reservation };
    const [booked] = await this.batcher.submit(turnOf(caller.principal), [entry]);
    this.noteFreed(entry);
    if (booked!.outcome === 'already-settled') throw alreadySettled();
    if (booked!.outcome === 'refused')
      throw new DomainError('conflict', 'USAGE_CONFLICT', 'The reservation could not be released; it ends by itself.');
    return { released: true, cents: centsFromMicroCents(reservation.amount) };
  }

  /** What this replica has ended is seen by its next verify, though it was refused a moment ago. */
  private noteFreed(entry: BookEntry): void {
    for (const { accountId } of reservationOf(entry)?.holds ?? []) this.quotas.noteFreed(accountId);
    // One that reserved nothing frees the oldest hold that was placed for such calls.
    if (entry.kind === 'usage' && entry.report.reservation === null && this.config.defaultReservationCents > 0)
      this.quotas.noteFreed(entry.report.keyId);
  }

  /** What a caller has in flight keeps its place until it is committed: others must find one too. */
  private requireShare({ principal }: KnownCaller, place: ReportPlace): void {
    if (place === null || place.claim(turnOf(principal))) return;
    this.crowded += 1;
    const detail = 'Too many of your reports are under way. Send this one again.';
    throw new DomainError('throttled', 'TOO_MANY_REQUESTS', detail, { retryAfterSeconds: 1 });
  }
}

/** In whose turn reports are booked: the key that reports, or the person. */
function turnOf({ kind, id }: Principal): string {
  return `${kind}:${id}`;
}
