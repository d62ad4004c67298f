import { Logger } from '@nestjs/common';
import { DatabaseError } from 'pg';
import type { DataSource } from 'typeorm';
import { isRetriable, SQL_STATES } from '../common/database-errors.js';
import { RepeatedLog } from '../common/repeated-log.js';
import { boundedQuery } from '../database/bounded-query.js';
import { type BookRow, insertUsageStatement, type BookTerms } from './usage-insert.js';
import {
  type BookEntry,
  type BookOutcome,
  type BookResult,
  callerIdOf,
  isRepeatOf,
  type UsageEntry,
} from './usage-entry.js';

const MAX_ATTEMPTS = 5;
/** A batch takes milliseconds; one that takes so long hangs. */
const MAX_TRANSACTION_MS = 5_000;
/** Statements of one batch for entries that share an id and have different contents; the rest are conflicts. */
const MAX_STATEMENTS = 4;
/**
 * Statements that tell the entries of one caller apart of which the database refuses some: enough for three of two
 * hundred. Those that are not told apart by then are refused together.
 */
const MAX_ISOLATING_STATEMENTS = 48;
/** One line of a constraint in so long: a caller may send events that are refused as fast as it likes. */
const REFUSALS_TOLD_EVERY_MS = 60_000;

/** What an entry came to, and the payload under its id afterwards (null: the id is free). */
interface Booked extends BookResult {
  readonly payloadHash: string | null;
}

/**
 * Writes batches of reports into the books, each in one statement that is a transaction. An id counts once, over any
 * number of batches and replicas. Amounts of a caller never make the statement fail. What the database refuses all the
 * same, for a defect, is told apart by a bounded number of statements, and by those of its caller alone.
 */
export class UsageWriter {
  private readonly logger = new Logger('Usage');
  private readonly refusals = new RepeatedLog((fields) => this.logger.error(fields), 1, REFUSALS_TOLD_EVERY_MS);

  constructor(
    private readonly dataSource: DataSource,
    private readonly terms: BookTerms,
  ) {}

  /**
   * Gives one result per entry, in order, after the commit. Entries that share an id are decided one after the other,
   * as if each had come by itself; nearly always all entries are one statement.
   *
   * @throws errors of the driver when the database is away; the outcome is then unknown
   */
  async write(entries: readonly BookEntry[]): Promise<BookResult[]> {
    const results = new Array<Booked>(entries.length);
    let groups = groupsById(entries);
    for (let statements = 1; groups.length > 0; statements += 1) {
      const places = groups.map(([first]) => first!).sort((left, right) => left - right);
      const booked = await this.commit(places.map((place) => entries[place]!));
      for (const [index, place] of places.entries()) results[place] = booked[index]!;
      groups = groups.map((group) => undecidedOf(group, entries, results)).filter((group) => group.length > 0);
      if (statements < MAX_STATEMENTS) continue;
      for (const place of groups.flat()) results[place] = bookedAs('conflict', null);
      break;
    }
    return results;
  }

  private async commit(entries: readonly BookEntry[]): Promise<Booked[]> {
    try {
      return await this.attempts(entries);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return this.isolate(entries);
    }
  }

  /** The entries of each caller in statements of their own. */
  private async isolate(entries: readonly BookEntry[]): Promise<Booked[]> {
    const results = new Array<Booked>(entries.length);
    for (const own of placesByCaller(entries)) {
      const booked = await this.halve(
        own.map((place) => entries[place]!),
        { statements: MAX_ISOLATING_STATEMENTS },
      );
      for (const [index, place] of own.entries()) results[place] = booked[index]!;
    }
    return results;
  }

  private async halve(entries: readonly BookEntry[], left: { statements: number }): Promise<Booked[]> {
    if (left.statements === 0) return entries.map(() => bookedAs('refused', null));
    left.statements -= 1;
    try {
      return await this.attempts(entries);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (entries.length === 1) return [this.refused(error)];
      const half = Math.floor(entries.length / 2);
      return [...(await this.halve(entries.slice(0, half), left)), ...(await this.halve(entries.slice(half), left))];
    }
  }

  private refused({ code, constraint }: DatabaseError): Booked {
    this.refusals.add(`${code} ${constraint}`, {
      msg: 'The database refused a usage event; nothing of it was charged.',
      code,
      constraint,
    });
    return bookedAs('refused', null);
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
    const rows = await boundedQuery<BookRow>(
      this.dataSource,
      MAX_TRANSACTION_MS,
      insertUsageStatement(entries, this.terms),
    );
    const results = entries.map((entry) => bookedAs('accepted', entry.kind === 'usage' ? entry.payloadHash : null));
    for (const row of rows) results[row.entry - 1] = bookedOf(entries[row.entry - 1]!, row);
    return results;
  }
}

function placesByCaller(entries: readonly BookEntry[]): Iterable<number[]> {
  const places = new Map<string, number[]>();
  for (const [place, entry] of entries.entries()) {
    const own = places.get(callerIdOf(entry));
    if (own === undefined) places.set(callerIdOf(entry), [place]);
    else own.push(place);
  }
  return places.values();
}

/** The places of entries by id, in their order; a release is alone. */
function groupsById(entries: readonly BookEntry[]): number[][] {
  const groups: number[][] = [];
  const byId = new Map<string, number[]>();
  for (const [place, entry] of entries.entries()) {
    const name = entry.kind === 'usage' ? `${entry.report.keyId}:${entry.callerId}:${entry.report.id}` : null;
    const group = name === null ? undefined : byId.get(name);
    if (group !== undefined) {
      group.push(place);
      continue;
    }
    const alone = [place];
    groups.push(alone);
    if (name !== null) byId.set(name, alone);
  }
  return groups;
}

/** Those of a group that need a statement: what follows from the first, which is decided, is put into the results. */
function undecidedOf(group: readonly number[], entries: readonly BookEntry[], results: Booked[]): number[] {
  for (let at = 1; at < group.length; at += 1) {
    const [previous, place] = [group[at - 1]!, group[at]!];
    const result = following(entries[place] as UsageEntry, entries[previous] as UsageEntry, results[previous]!);
    if (result === null) return group.slice(at);
    results[place] = result;
  }
  return [];
}

/** What the entry before it under the same id decides of an entry, or null. */
function following(entry: UsageEntry, previous: UsageEntry, before: Booked): Booked | null {
  if (before.payloadHash !== null) return repeatOf(entry, before.payloadHash);
  // The same key, and the same content: nothing else can become of it.
  return before.outcome === 'unknown-key' || isRepeatOf(entry, previous.payloadHash) ? before : null;
}

function bookedAs(outcome: BookOutcome, payloadHash: string | null): Booked {
  return { outcome, isLate: false, excessMicroCents: 0n, payloadHash };
}

function bookedOf(entry: BookEntry, row: BookRow): Booked {
  if (row.payload_hash !== null) return repeatOf(entry as UsageEntry, row.payload_hash);
  if (row.outcome !== 'settled') return bookedAs(row.outcome as BookOutcome, null);
  return {
    outcome: 'accepted',
    isLate: row.is_late,
    excessMicroCents: BigInt(row.excess),
    payloadHash: (entry as UsageEntry).payloadHash,
  };
}

function repeatOf(entry: UsageEntry, payloadHash: string): Booked {
  return bookedAs(isRepeatOf(entry, payloadHash) ? 'duplicate' : 'conflict', payloadHash);
}

/**
 * Whether the same batch may succeed a moment later. A CHECK that has no name is that of a partition: the events of a
 * month were just moved out of the default one, while we waited for it.
 */
function isPassing(error: unknown): boolean {
  if (!(error instanceof DatabaseError)) return false;
  return isRetriable(error) || (error.code === SQL_STATES.checkViolation && error.constraint === undefined);
}

/** Classes 22 and 23: the data itself is refused (`23514`: a CHECK; `22003`: a sum beyond 64 bits). */
function isRefusal(error: unknown): error is DatabaseError {
  return error instanceof DatabaseError && /^2[23]/.test(error.code ?? '');
}
