import { Logger } from '@nestjs/common';
import { type DataSource, type EntityManager, QueryFailedError } from 'typeorm';
import { boundedTransaction } from '../database/bounded-transaction.js';
import type { Settlement, SettleResult } from '../quotas/authority.js';
import * as books from './usage-books.js';
import type { BookEntry, BookOutcome, BookResult, UsageEntry } from './usage-entry.js';

/** Charges and releases inside a transaction: one result per settlement, in order. */
export type Settle = (tx: EntityManager, settlements: readonly Settlement[]) => Promise<readonly SettleResult[]>;

/** Deadlocks and serialisation failures are nobody's fault: the whole batch runs again. */
const RETRIABLE = new Set(['40P01', '40001']);
const MAX_ATTEMPTS = 5;
/** A batch takes milliseconds; one that takes so long hangs. */
const MAX_TRANSACTION_MS = 5_000;

/** What an entry came to, and the payload under its id afterwards (null: the id is free). */
interface Booked extends BookResult {
  readonly payloadHash: Buffer | null;
}

/** A row that was in the way is gone again: look once more. */
class VanishedIdError extends Error {}

/**
 * Writes batches of reports into the books, each batch in one transaction with one statement a table: ids, accounts
 * and leases, events, totals, rollups, in that order and inside each by key, so that no two batches wait for each
 * other in a circle. An id counts once, over any number of batches and replicas. One entry that the database refuses
 * fails alone.
 */
export class UsageWriter {
  private readonly logger = new Logger('Usage');

  constructor(
    private readonly dataSource: DataSource,
    private readonly settle: Settle,
    private readonly defaultHoldMicroCents: bigint,
  ) {}

  /**
   * Gives one result per entry, in order, after the commit. Entries that share an id are decided one after the other,
   * as if each had come by itself.
   *
   * @throws QueryFailedError and errors of the driver when the database is away; the outcome is then unknown
   */
  async write(entries: readonly BookEntry[]): Promise<BookResult[]> {
    const results = new Array<Booked | undefined>(entries.length);
    const twins = new Map<string, number[]>();
    const firsts: number[] = [];
    for (const [index, entry] of entries.entries()) {
      const name = entry.kind === 'usage' ? nameOf(entry) : null;
      const others = name === null ? undefined : twins.get(name);
      if (others !== undefined) others.push(index);
      else {
        firsts.push(index);
        if (name !== null) twins.set(name, [index]);
      }
    }
    for (const [position, booked] of (await this.commit(firsts.map((index) => entries[index]!))).entries()) results[firsts[position]!] = booked;
    for (const group of twins.values()) await this.followFirst(group, entries, results);
    return results as BookResult[];
  }

  /** Decides the later ones of entries that share an id. */
  private async followFirst(group: readonly number[], entries: readonly BookEntry[], results: (Booked | undefined)[]): Promise<void> {
    let previous = group[0]!;
    for (const index of group.slice(1)) {
      const entry = entries[index] as UsageEntry;
      const before = results[previous]!;
      if (before.payloadHash !== null) {
        results[index] = booked(entry.payloadHash.equals(before.payloadHash) ? 'duplicate' : 'conflict', before.payloadHash);
      } else if (entry.payloadHash.equals((entries[previous] as UsageEntry).payloadHash)) {
        results[index] = before;
      } else {
        [results[index]] = await this.commit([entry]);
      }
      previous = index;
    }
  }

  private async commit(entries: readonly BookEntry[]): Promise<Booked[]> {
    if (entries.length === 0) return [];
    try {
      return await this.attempts(entries);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (entries.length === 1) return [this.refused(error)];
      const half = Math.floor(entries.length / 2);
      return [...(await this.commit(entries.slice(0, half))), ...(await this.commit(entries.slice(half)))];
    }
  }

  private refused(error: QueryFailedError): Booked {
    const { code, constraint } = error.driverError as { code?: string; constraint?: string };
    this.logger.error({ message: 'The database refused a usage event; nothing of it was charged.', code, constraint });
    return booked('refused', null);
  }

  private async attempts(entries: readonly BookEntry[]): Promise<Booked[]> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await boundedTransaction(this.dataSource, MAX_TRANSACTION_MS, (tx) => this.book(tx, entries));
      } catch (error) {
        if (attempt >= MAX_ATTEMPTS || !isPassing(error)) throw error;
      }
    }
  }

  private async book(tx: EntityManager, entries: readonly BookEntry[]): Promise<Booked[]> {
    const usages = entries.filter((entry) => entry.kind === 'usage');
    const { month, fresh } = await books.addIds(tx, usages);
    const repeated = usages.filter((entry) => !fresh.has(entry));
    const known = await books.findPayloads(tx, repeated);
    if (known.size < repeated.length) throw new VanishedIdError();

    const open = entries.filter((entry) => entry.kind === 'release' || fresh.has(entry));
    const settlements = open.map((entry) => this.settlementOf(entry, month));
    const settled = settlements.length === 0 ? [] : await this.settle(tx, settlements);
    const outcomes = new Map(open.map((entry, position) => [entry, bookedOf(entry, settled[position]!)]));

    const isApplied = (entry: UsageEntry) => outcomes.get(entry)?.outcome === 'accepted';
    await books.removeIds(tx, [...fresh].filter((entry) => !isApplied(entry)));
    const applied = usages.filter(isApplied).map((entry) => {
      const { isLate, excessMicroCents } = outcomes.get(entry)!;
      return { entry, month: entry.report.reservation?.month ?? month, isLate, excessMicroCents };
    });
    await books.addEvents(tx, applied);
    await books.addTotals(tx, applied);
    await books.addRollups(tx, applied);
    return entries.map((entry) => outcomes.get(entry) ?? repeatOf(entry as UsageEntry, known));
  }

  private settlementOf(entry: BookEntry, month: string): Settlement {
    const reservation = entry.kind === 'release' ? entry.reservation : entry.report.reservation;
    const of = {
      reservationId: reservation?.reservationId ?? null,
      month: reservation?.month ?? month,
      holds: reservation?.holds ?? [],
      reserved: reservation?.amount ?? 0n,
    };
    if (entry.kind === 'release') {
      return { kind: 'release', keyId: entry.reservation.keyId, ...of, amount: 0n, settledBy: 'release', defaultHold: 0n };
    }
    return {
      kind: 'settle',
      keyId: entry.report.keyId,
      ...of,
      amount: entry.chargeMicroCents,
      settledBy: `${entry.callerId}:${entry.idHash.toString('hex')}`,
      defaultHold: reservation === null ? this.defaultHoldMicroCents : 0n,
    };
  }
}

function nameOf({ report, callerId, idHash }: UsageEntry): string {
  return `${report.keyId}:${callerId}:${idHash.toString('hex')}`;
}

function booked(outcome: BookOutcome, payloadHash: Buffer | null): Booked {
  return { outcome, isLate: false, excessMicroCents: 0n, payloadHash };
}

function bookedOf(entry: BookEntry, result: SettleResult): Booked {
  if (entry.kind === 'release' || result.outcome !== 'settled') {
    return booked(result.outcome === 'settled' ? 'accepted' : result.outcome, null);
  }
  return { outcome: 'accepted', isLate: result.late, excessMicroCents: result.excess, payloadHash: entry.payloadHash };
}

function repeatOf(entry: UsageEntry, known: ReadonlyMap<UsageEntry, Buffer>): Booked {
  const payloadHash = known.get(entry)!;
  return booked(payloadHash.equals(entry.payloadHash) ? 'duplicate' : 'conflict', payloadHash);
}

/**
 * Whether the same batch may succeed a moment later. A CHECK that has no name is that of a partition: the events of a
 * month were just moved out of the default one, while we waited for it.
 */
function isPassing(error: unknown): boolean {
  if (error instanceof VanishedIdError) return true;
  if (!isFailedQuery(error)) return false;
  const state = sqlStateOf(error);
  return RETRIABLE.has(state) || (state === '23514' && (error.driverError as { constraint?: string }).constraint === undefined);
}

/** Classes 22 and 23: the data itself is refused (`23514`: a CHECK; `22003`: a sum beyond 64 bits). */
function isRefusal(error: unknown): error is QueryFailedError<Error> {
  return isFailedQuery(error) && /^2[23]/.test(sqlStateOf(error));
}

function isFailedQuery(error: unknown): error is QueryFailedError<Error> {
  return error instanceof QueryFailedError;
}

function sqlStateOf({ driverError }: QueryFailedError<Error>): string {
  const { code } = driverError as { code?: unknown };
  return typeof code === 'string' ? code : '';
}
