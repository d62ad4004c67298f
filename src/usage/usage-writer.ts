import { Logger } from '@nestjs/common';
import { DatabaseError } from 'pg';
import type { DataSource } from 'typeorm';
import { RepeatedLog } from '../common/repeated-log.js';
import { boundedQuery } from '../database/bounded-query.js';
import { type BookRow, bookStatement, reservationOf } from './usage-books.js';
import { type BookEntry, type BookOutcome, type BookResult, type UsageEntry, isRepeatOf } from './usage-entry.js';

/** Deadlocks and serialisation failures are nobody's fault: the whole batch runs again. */
const RETRIABLE = new Set(['40P01', '40001']);
const MAX_ATTEMPTS = 5;
/** A batch takes milliseconds; one that takes so long hangs. */
const MAX_TRANSACTION_MS = 5_000;
/** Lines of one constraint in 10 s: a caller may send events that are refused as fast as it likes. */
const MAX_REFUSALS_TOLD = 10;

/** What an entry came to, and the payload under its id afterwards (null: the id is free). */
interface Booked extends BookResult {
  readonly payloadHash: string | null;
}

/**
 * Writes batches of reports into the books, each in one statement that is a transaction. An id counts once, over any
 * number of batches and replicas. One entry that the database refuses fails alone.
 */
export class UsageWriter {
  private readonly logger = new Logger('Usage');
  private readonly refusals = new RepeatedLog((fields) => this.logger.error(fields), MAX_REFUSALS_TOLD);

  constructor(
    private readonly dataSource: DataSource,
    private readonly defaultHoldMicroCents: bigint,
  ) {}

  /**
   * Gives one result per entry, in order, after the commit. Entries that share an id or a reservation are decided one
   * after the other, as if each had come by itself.
   *
   * @throws errors of the driver when the database is away; the outcome is then unknown
   */
  async write(entries: readonly BookEntry[]): Promise<BookResult[]> {
    const results = new Array<Booked | undefined>(entries.length);
    const { rounds, twins } = inRounds(entries);
    for (const round of rounds) {
      const booked = await this.commit(round.map((index) => entries[index]!));
      for (const [position, index] of round.entries()) results[index] = booked[position];
    }
    for (const group of twins) await this.followFirst(group, entries, results);
    return results as BookResult[];
  }

  /** Decides the later ones of entries that share an id. */
  private async followFirst(group: readonly number[], entries: readonly BookEntry[], results: (Booked | undefined)[]): Promise<void> {
    let previous = group[0]!;
    for (const index of group.slice(1)) {
      const entry = entries[index] as UsageEntry;
      const before = results[previous]!;
      if (before.payloadHash !== null) {
        results[index] = repeatOf(entry, before.payloadHash);
      } else if (isRepeatOf(entry, (entries[previous] as UsageEntry).payloadHash)) {
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

  private refused({ code, constraint }: DatabaseError): Booked {
    this.refusals.add(`${code} ${constraint}`, { msg: 'The database refused a usage event; nothing of it was charged.', code, constraint });
    return booked('refused', null);
  }

  private async attempts(entries: readonly BookEntry[]): Promise<Booked[]> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.book(entries);
      } catch (error) {
        if (attempt >= MAX_ATTEMPTS || !isPassing(error)) throw error;
      }
    }
  }

  private async book(entries: readonly BookEntry[]): Promise<Booked[]> {
    const rows = await boundedQuery<BookRow>(this.dataSource, MAX_TRANSACTION_MS, bookStatement(entries, this.defaultHoldMicroCents));
    const results = entries.map((entry) => booked('accepted', entry.kind === 'usage' ? entry.payloadHash : null));
    for (const row of rows) results[row.entry - 1] = bookedOf(entries[row.entry - 1]!, row);
    return results;
  }
}

/**
 * The places of entries that one statement may take together, in the order of the statements, and the groups of those
 * that share an id, of which only the first is in a round. Nearly always all entries are one round.
 */
function inRounds(entries: readonly BookEntry[]): { rounds: number[][]; twins: number[][] } {
  const rounds: number[][] = [[]];
  const byId = new Map<string, number[]>();
  const settled = new Map<string, number>();
  for (const [index, entry] of entries.entries()) {
    if (entry.kind === 'usage') {
      const name = `${entry.report.keyId}:${entry.callerId}:${entry.report.id}`;
      const others = byId.get(name);
      if (others !== undefined) {
        others.push(index);
        continue;
      }
      byId.set(name, [index]);
    }
    const reservationId = reservationOf(entry)?.reservationId;
    const round = reservationId === undefined ? 0 : (settled.get(reservationId) ?? 0);
    if (reservationId !== undefined) settled.set(reservationId, round + 1);
    (rounds[round] ??= []).push(index);
  }
  return { rounds, twins: [...byId.values()].filter(({ length }) => length > 1) };
}

function booked(outcome: BookOutcome, payloadHash: string | null): Booked {
  return { outcome, isLate: false, excessMicroCents: 0n, payloadHash };
}

function bookedOf(entry: BookEntry, row: BookRow): Booked {
  if (row.payload_hash !== null) return repeatOf(entry as UsageEntry, row.payload_hash);
  if (row.outcome !== 'settled') return booked(row.outcome as BookOutcome, null);
  return { outcome: 'accepted', isLate: row.is_late, excessMicroCents: BigInt(row.excess), payloadHash: (entry as UsageEntry).payloadHash };
}

function repeatOf(entry: UsageEntry, payloadHash: string): Booked {
  return booked(isRepeatOf(entry, payloadHash) ? 'duplicate' : 'conflict', payloadHash);
}

/**
 * Whether the same batch may succeed a moment later. A CHECK that has no name is that of a partition: the events of a
 * month were just moved out of the default one, while we waited for it.
 */
function isPassing(error: unknown): boolean {
  if (!(error instanceof DatabaseError)) return false;
  return RETRIABLE.has(error.code ?? '') || (error.code === '23514' && error.constraint === undefined);
}

/** Classes 22 and 23: the data itself is refused (`23514`: a CHECK; `22003`: a sum beyond 64 bits). */
function isRefusal(error: unknown): error is DatabaseError {
  return error instanceof DatabaseError && /^2[23]/.test(error.code ?? '');
}
