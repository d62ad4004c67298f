import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import type { TimeRange } from './time-range.js';
import type { SummaryGroup } from './usage-reads.dto.js';
import type { SeriesStep } from './usage-series.js';
import type { UsageSums } from './usage-reads.view.js';

/** The figures of one key, as committed by now. */
export interface KeyFigures {
  readonly total: UsageSums;
  readonly today: UsageSums;
  readonly thisHour: UsageSums;
  /** Verifies of today by code, `VALID` among them. */
  readonly verdictsToday: ReadonlyMap<string, number>;
  readonly lastUsedAt: Date | null;
}

/** Usage of one group. */
export interface GroupSums {
  readonly group: string | null;
  readonly name: string | null;
  readonly sums: UsageSums;
}

/** How often one key was refused for one reason. */
export interface RefusalCount {
  readonly apiKeyId: string;
  readonly name: string | null;
  readonly ownerId: string | null;
  readonly code: string;
  readonly count: number;
  readonly firstAt: Date;
  readonly lastAt: Date;
}

interface SumsRow {
  requests: string | null;
  input_tokens: string | null;
  output_tokens: string | null;
  cost: string | null;
}

const SUMS = `sum(requests) AS requests, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, sum(cost_micro_cents) AS cost`;

/** By what rollups are grouped: the group as text, its name, and what has to be joined. `''` is no model. */
const GROUPS: Record<SummaryGroup, { group: string; name: string; join: string }> = {
  day: { group: `to_char(r.hour AT TIME ZONE 'UTC', 'YYYY-MM-DD')`, name: 'NULL', join: '' },
  model: { group: `nullif(r.model, '')`, name: 'NULL', join: '' },
  key: { group: 'r.key_id::text', name: 'min(k.name)', join: 'LEFT JOIN api_key k ON k.id = r.key_id' },
  owner: {
    group: 'u.id::text',
    name: 'min(u.name)',
    join: 'LEFT JOIN api_key k ON k.id = r.key_id LEFT JOIN users u ON u.id = k.owner_id',
  },
  tag: {
    group: 't.tag',
    name: 'NULL',
    join: 'LEFT JOIN api_key k ON k.id = r.key_id LEFT JOIN LATERAL unnest(k.tags) AS t (tag) ON true',
  },
};

/** Reads usage from rollups, totals and counted verdicts; never from single events. */
@Injectable()
export class UsageRepository {
  constructor(private readonly manager: EntityManager) {}

  /** Exact for "today" and "this hour" in UTC, by the clock of the database, in one snapshot. */
  async figuresOf(keyId: string): Promise<KeyFigures> {
    const [row] = await this.manager.query<
      {
        total: SumsRow;
        today: SumsRow;
        hour: SumsRow;
        verdicts: Record<string, string> | null;
        last_used_at: Date | null;
      }[]
    >(
      `WITH today AS (SELECT * FROM usage_rollup_hour WHERE key_id = $1 AND hour >= date_trunc('day', now(), 'UTC'))
       SELECT (SELECT row_to_json(s) FROM (SELECT requests::text, input_tokens::text, output_tokens::text, cost_micro_cents::text AS cost FROM key_totals WHERE key_id = $1) s) AS total,
              (SELECT row_to_json(s) FROM (SELECT ${SUMS.replaceAll(') AS', ')::text AS')} FROM today) s) AS today,
              (SELECT row_to_json(s) FROM (SELECT ${SUMS.replaceAll(') AS', ')::text AS')} FROM today WHERE hour = date_trunc('hour', now(), 'UTC')) s) AS hour,
              (SELECT jsonb_object_agg(code, n) FROM (SELECT code, sum(count) AS n FROM verdict_minute
                WHERE key_id = $1 AND minute >= date_trunc('day', now(), 'UTC') GROUP BY code) v) AS verdicts,
              (SELECT nullif(last_used_at, '-infinity') FROM key_totals WHERE key_id = $1) AS last_used_at`,
      [keyId],
    );
    return {
      total: sumsOf(row!.total),
      today: sumsOf(row!.today),
      thisHour: sumsOf(row!.hour),
      verdictsToday: new Map(Object.entries(row!.verdicts ?? {}).map(([code, count]) => [code, Number(count)])),
      lastUsedAt: row!.last_used_at,
    };
  }

  /** Steps with usage, in order of time; of each model by itself or of all together (`model` null). */
  async stepsOf(
    keyId: string,
    interval: 'hour' | 'day',
    { from, to }: TimeRange,
    byModel: boolean,
  ): Promise<SeriesStep[]> {
    const rows = await this.manager.query<(SumsRow & { at: Date; model: string | null })[]>(
      `SELECT date_trunc($2, hour, 'UTC') AS at, ${byModel ? `nullif(model, '')` : 'NULL'} AS model, ${SUMS}
         FROM usage_rollup_hour r WHERE key_id = $1 AND hour >= $3 AND hour < $4 GROUP BY 1, 2 ORDER BY 1`,
      [keyId, interval, from, to],
    );
    return rows.map((row) => ({ at: row.at, model: row.model, sums: sumsOf(row) }));
  }

  /** Up to `limit` groups: days in order, everything else by cost, the dearest first. */
  async summarize(groupBy: SummaryGroup, { from, to }: TimeRange, limit: number): Promise<GroupSums[]> {
    const { group, name, join } = GROUPS[groupBy];
    const rows = await this.manager.query<(SumsRow & { group: string | null; name: string | null })[]>(
      `SELECT ${group} AS "group", ${name} AS name, ${SUMS}
         FROM usage_rollup_hour r ${join} WHERE r.hour >= $1 AND r.hour < $2
        GROUP BY 1 ORDER BY ${groupBy === 'day' ? '1' : 'cost DESC, requests DESC, 1'} LIMIT $3`,
      [from, to, limit],
    );
    return rows.map((row) => ({ group: row.group, name: row.name, sums: sumsOf(row) }));
  }

  /** Everything in a range, once. */
  async sumOf({ from, to }: TimeRange): Promise<UsageSums> {
    const [row] = await this.manager.query<SumsRow[]>(
      `SELECT ${SUMS} FROM usage_rollup_hour WHERE hour >= $1 AND hour < $2`,
      [from, to],
    );
    return sumsOf(row!);
  }

  /** Up to `limit` pairs of key and code, most refused first. */
  async refusalsIn({ from, to }: TimeRange, keyId: string | null, limit: number): Promise<RefusalCount[]> {
    return this.manager.query<RefusalCount[]>(
      `SELECT v.key_id AS "apiKeyId", k.name, k.owner_id AS "ownerId", v.code, sum(v.count)::float8 AS count,
              min(v.minute) AS "firstAt", max(v.minute) AS "lastAt"
         FROM verdict_minute v LEFT JOIN api_key k ON k.id = v.key_id
        WHERE v.minute >= $1 AND v.minute < $2 AND v.code <> 'VALID' AND ($3::uuid IS NULL OR v.key_id = $3)
        GROUP BY v.key_id, v.code, k.name, k.owner_id ORDER BY count DESC, v.key_id, v.code LIMIT $4`,
      [from, to, keyId, limit],
    );
  }

  /** Refusals by code, all keys together. */
  async refusalCounts({ from, to }: TimeRange, keyId: string | null): Promise<Map<string, number>> {
    const rows = await this.manager.query<{ code: string; count: number }[]>(
      `SELECT code, sum(count)::float8 AS count FROM verdict_minute
        WHERE minute >= $1 AND minute < $2 AND code <> 'VALID' AND ($3::uuid IS NULL OR key_id = $3) GROUP BY code ORDER BY count DESC, code`,
      [from, to, keyId],
    );
    return new Map(rows.map(({ code, count }) => [code, count]));
  }
}

function sumsOf(row: SumsRow | null): UsageSums {
  return {
    requests: Number(row?.requests ?? 0),
    inputTokens: Number(row?.input_tokens ?? 0),
    outputTokens: Number(row?.output_tokens ?? 0),
    costMicroCents: BigInt(row?.cost ?? 0),
  };
}
