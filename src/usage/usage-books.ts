import type { EntityManager } from 'typeorm';
import type { UsageEntry } from './usage-entry.js';

/** An event that counts, with what settling it came to. */
export interface AppliedEntry {
  readonly entry: UsageEntry;
  /** First day of the month that was charged. */
  readonly month: string;
  readonly isLate: boolean;
  readonly excessMicroCents: bigint;
}

/** What is added to one row of totals or rollups. */
interface Sum {
  readonly keyId: string;
  readonly model: string;
  requests: bigint;
  inputTokens: bigint;
  outputTokens: bigint;
  costMicroCents: bigint;
}

/**
 * Takes the ids of `entries`, in order of key; waits for whoever is taking the same one. Gives those that were free,
 * and the month by the database's clock.
 */
export async function addIds(tx: EntityManager, entries: readonly UsageEntry[]): Promise<{ month: string; fresh: Set<UsageEntry> }> {
  const [row] = await tx.query<{ month: string; fresh: number[] }[]>(
    `WITH incoming AS (
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[], $5::uuid[])
              WITH ORDINALITY AS t (key_id, caller_id, id_hash, payload_hash, reservation_id, n)
     ), inserted AS (
       INSERT INTO usage_id (key_id, caller_id, id_hash, payload_hash, reservation_id)
       SELECT key_id, caller_id, id_hash, payload_hash, reservation_id FROM incoming ORDER BY key_id, caller_id, id_hash
       ON CONFLICT DO NOTHING RETURNING key_id, caller_id, id_hash
     )
     SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-01') AS month,
            ARRAY(SELECT n::int FROM incoming JOIN inserted USING (key_id, caller_id, id_hash)) AS fresh`,
    [
      ...idColumns(entries),
      entries.map(({ payloadHash }) => payloadHash),
      entries.map(({ report }) => report.reservation?.reservationId ?? null),
    ],
  );
  return { month: row!.month, fresh: new Set(row!.fresh.sort((a, b) => a - b).map((n) => entries[n - 1]!)) };
}

/** The payloads under the ids of `entries`, as committed by now. */
export async function findPayloads(tx: EntityManager, entries: readonly UsageEntry[]): Promise<Map<UsageEntry, Buffer>> {
  if (entries.length === 0) return new Map();
  const rows = await tx.query<{ n: number; payload_hash: Buffer }[]>(
    `SELECT n::int, i.payload_hash
       FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) WITH ORDINALITY AS t (key_id, caller_id, id_hash, n)
       JOIN usage_id i USING (key_id, caller_id, id_hash)`,
    idColumns(entries),
  );
  return new Map(rows.map(({ n, payload_hash }) => [entries[n - 1]!, payload_hash]));
}

/** Frees ids that this very transaction has taken. */
export async function removeIds(tx: EntityManager, entries: readonly UsageEntry[]): Promise<void> {
  if (entries.length === 0) return;
  await tx.query(
    `DELETE FROM usage_id i USING unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS t (key_id, caller_id, id_hash)
      WHERE i.key_id = t.key_id AND i.caller_id = t.caller_id AND i.id_hash = t.id_hash`,
    idColumns(entries),
  );
}

/** Keeps the events themselves. */
export async function addEvents(tx: EntityManager, applied: readonly AppliedEntry[]): Promise<void> {
  if (applied.length === 0) return;
  const of = <T>(pick: (one: AppliedEntry) => T): T[] => applied.map(pick);
  await tx.query(
    `INSERT INTO usage_event (key_id, caller_id, event_id, month, reservation_id, requests, input_tokens, output_tokens, cost_micro_cents,
                              model, chatbot, endpoint, status_code, latency_ms, occurred_at, is_late, excess_micro_cents)
     SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::date[], $5::uuid[], $6::int[], $7::bigint[], $8::bigint[], $9::bigint[],
                          $10::text[], $11::text[], $12::text[], $13::smallint[], $14::float8[], $15::timestamptz[], $16::boolean[], $17::bigint[])`,
    [
      of(({ entry }) => entry.report.keyId),
      of(({ entry }) => entry.callerId),
      of(({ entry }) => entry.report.id),
      of(({ month }) => month),
      of(({ entry }) => entry.report.reservation?.reservationId ?? null),
      of(({ entry }) => entry.report.requests),
      of(({ entry }) => entry.report.inputTokens),
      of(({ entry }) => entry.report.outputTokens),
      of(({ entry }) => entry.chargeMicroCents.toString()),
      of(({ entry }) => entry.report.model ?? ''),
      of(({ entry }) => entry.report.chatbot),
      of(({ entry }) => entry.report.endpoint),
      of(({ entry }) => entry.report.statusCode),
      of(({ entry }) => entry.report.latencyMs),
      of(({ entry }) => entry.report.occurredAt?.toISOString() ?? null),
      of(({ isLate }) => isLate),
      of(({ excessMicroCents }) => excessMicroCents.toString()),
    ],
  );
}

/**
 * Adds to the totals of the keys, in order of key. The last use moves only when a minute has passed, as that of verifies
 * does: it is indexed, and a charge that leaves it is an update in place.
 */
export async function addTotals(tx: EntityManager, applied: readonly AppliedEntry[]): Promise<void> {
  if (applied.length === 0) return;
  await tx.query(
    `INSERT INTO key_totals AS t (key_id, requests, input_tokens, output_tokens, cost_micro_cents, last_used_at)
     SELECT key_id, requests, input_tokens, output_tokens, cost, now()
       FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS s (key_id, requests, input_tokens, output_tokens, cost)
      ORDER BY key_id
     ON CONFLICT (key_id) DO UPDATE
       SET requests = t.requests + EXCLUDED.requests, input_tokens = t.input_tokens + EXCLUDED.input_tokens,
           output_tokens = t.output_tokens + EXCLUDED.output_tokens, cost_micro_cents = t.cost_micro_cents + EXCLUDED.cost_micro_cents,
           last_used_at = CASE WHEN t.last_used_at > EXCLUDED.last_used_at - interval '1 minute' THEN t.last_used_at ELSE EXCLUDED.last_used_at END`,
    sumColumns(sums(applied, () => '')),
  );
}

/** Adds to the rollups of this hour, by the database's clock, in order of key and model. */
export async function addRollups(tx: EntityManager, applied: readonly AppliedEntry[]): Promise<void> {
  if (applied.length === 0) return;
  const rows = sums(applied, ({ entry }) => entry.report.model ?? '');
  await tx.query(
    `INSERT INTO usage_rollup_hour AS r (key_id, hour, model, requests, input_tokens, output_tokens, cost_micro_cents)
     SELECT key_id, date_trunc('hour', now(), 'UTC'), model, requests, input_tokens, output_tokens, cost
       FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[])
            AS s (key_id, requests, input_tokens, output_tokens, cost, model)
      ORDER BY key_id, model
     ON CONFLICT (key_id, hour, model) DO UPDATE
       SET requests = r.requests + EXCLUDED.requests, input_tokens = r.input_tokens + EXCLUDED.input_tokens,
           output_tokens = r.output_tokens + EXCLUDED.output_tokens, cost_micro_cents = r.cost_micro_cents + EXCLUDED.cost_micro_cents`,
    [...sumColumns(rows), rows.map(({ model }) => model)],
  );
}

function idColumns(entries: readonly UsageEntry[]): unknown[] {
  return [entries.map(({ report }) => report.keyId), entries.map(({ callerId }) => callerId), entries.map(({ idHash }) => idHash)];
}

function sums(applied: readonly AppliedEntry[], modelOf: (one: AppliedEntry) => string): Sum[] {
  const byName = new Map<string, Sum>();
  for (const one of applied) {
    const { report, chargeMicroCents } = one.entry;
    const model = modelOf(one);
    const name = `${report.keyId}${model}`;
    let sum = byName.get(name);
    if (sum === undefined) {
      sum = { keyId: report.keyId, model, requests: 0n, inputTokens: 0n, outputTokens: 0n, costMicroCents: 0n };
      byName.set(name, sum);
    }
    sum.requests += BigInt(report.requests);
    sum.inputTokens += BigInt(report.inputTokens);
    sum.outputTokens += BigInt(report.outputTokens);
    sum.costMicroCents += chargeMicroCents;
  }
  return [...byName.values()];
}

function sumColumns(rows: readonly Sum[]): unknown[] {
  return [
    rows.map(({ keyId }) => keyId),
    rows.map(({ requests }) => requests.toString()),
    rows.map(({ inputTokens }) => inputTokens.toString()),
    rows.map(({ outputTokens }) => outputTokens.toString()),
    rows.map(({ costMicroCents }) => costMicroCents.toString()),
  ];
}
