import { retrying } from '../retrying.js';
import { textArray } from '../../database/array-text.js';
import { list } from '../acquire-values.js';
import type { Sql } from '../sql.js';
import type { Renewal, RenewalResult, SlotAnswer, SlotRequest, SlotStore, SlotVerdict } from './slot-store.js';

const takeFrom = (limits: string) => `SELECT n, granted, found, month, clock_ms, admit_for_ms
  FROM quota_take_slots($1, $2::integer[], $3::uuid[], ${limits}, $5::uuid[], $6::uuid[], $7::integer[]) ORDER BY n`;
const TAKE = takeFrom('$4::uuid[]');
const TAKE_OF_SUBJECTS = takeFrom('limit_subjects_note($3::uuid[], $4::uuid[], $5::uuid[], $8::text[], true)');

interface TakenRow {
  readonly granted: boolean | null;
  readonly found: boolean;
  readonly month: string;
  readonly clock_ms: string;
  readonly admit_for_ms: string;
}

/** Calls in flight in PostgreSQL: one durable statement for all calls of a replica that wait at a moment. */
export class PostgresSlotStore implements SlotStore {
  constructor(private readonly sql: Sql) {}

  async take({ replicaId, calls }: SlotRequest): Promise<SlotAnswer> {
    const needs = calls.flatMap(({ needs, ttlSeconds }, call) =>
      needs.map((need) => ({ ...need, ttlSeconds, call: call + 1 })),
    );
    const isOfSubjects = needs.some(({ account }) => account.limit?.subject !== undefined);
    const rows = (await retrying(() =>
      this.sql(
        isOfSubjects ? TAKE_OF_SUBJECTS : TAKE,
        [
          replicaId,
          list(needs.map(({ call }) => call)),
          list(needs.map(({ account }) => account.id)),
          list(needs.map(({ account }) => account.limit?.id ?? null)),
          list(needs.map(({ account }) => account.limit?.member ?? null)),
          list(needs.map(({ leaseId }) => leaseId)),
          list(needs.map(({ ttlSeconds }) => ttlSeconds)),
          ...(isOfSubjects ? [textArray(needs, ({ account }) => account.limit?.subject ?? null)] : []),
        ],
        isOfSubjects ? 'take-slots-of-subjects' : 'take-slots',
      ),
    )) as unknown as TakenRow[];
    const [{ month, clock_ms: clockMs, admit_for_ms: admitForMs }] = rows as [TakenRow];
    let next = 0;
    const verdicts = calls.map((call): SlotVerdict => {
      const own = rows.slice(next, (next += call.needs.length));
      const refusedBy = own.findIndex(({ granted }) => granted === false);
      if (refusedBy < 0) return { granted: true };
      const { found } = own[refusedBy]!;
      // Where a limit has no room for a subject, its account is not there.
      const isFull = !found && call.needs[refusedBy]!.account.limit?.subject !== undefined;
      return { granted: false, refusedBy, found, ...(isFull ? { isFull } : {}) };
    });
    return { calls: verdicts, month, clockMs: Number(clockMs), admitForMs: Number(admitForMs) };
  }

  async free(leaseIds: readonly string[]): Promise<void> {
    if (leaseIds.length === 0) return;
    await retrying(() => this.sql('SELECT quota_free_slots($1::uuid[])', [list(leaseIds)], 'free-slots'));
  }

  /** Holds reservations for longer; a result for each, in order. */
  async renew(renewals: readonly Renewal[]): Promise<RenewalResult[]> {
    const leases = renewals.flatMap(({ leaseIds, besideIds = [] }, index) => [
      ...leaseIds.map((id) => ({ id, event: index + 1, isBeside: false })),
      ...besideIds.map((id) => ({ id, event: index + 1, isBeside: true })),
    ]);
    const rows = await retrying(() =>
      this.sql(
        `SELECT outcome, until_ms
           FROM quota_renew_2($1::uuid[], $2::uuid[], $3::integer[], $4::integer[], $5::uuid[], $6::boolean[]) ORDER BY event`,
        [
          list(renewals.map(({ keyId }) => keyId)),
          list(renewals.map(({ reservationId }) => reservationId)),
          list(renewals.map(({ ttlSeconds }) => ttlSeconds)),
          list(leases.map(({ event }) => event)),
          list(leases.map(({ id }) => id)),
          list(leases.map(({ isBeside }) => String(isBeside))),
        ],
        'renew-reservations',
      ),
    );
    return rows.map((row): RenewalResult => {
      const outcome = row.outcome as RenewalResult['outcome'];
      return outcome === 'renewed' ? { outcome, untilMs: Number(row.until_ms) } : { outcome };
    });
  }
}
