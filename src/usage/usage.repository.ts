import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { SQL_STATES, sqlState } from '../common/database-errors.js';
import { unavailable } from '../common/domain-error.js';
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

/** A month of UTC whose events are in a file alone. */
export interface ArchivedMonth {
  /** `2026-07` */
  readonly month: string;
  readonly endsAt: Date;
}

interface SumsRow {
  requests: string | null;
  input_tokens: string | null;
  output_tokens: string | null;
  cost: string | null;
}

const SUMS = `sum(requests) AS requests, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, sum(cost_micro_cents) AS cost`;

/** The same as text: an object of JSON keeps every digit of it. */
const SUMS_AS_TEXT = SUMS.replaceAll(') AS', ')::text AS');

/**
 * Where sums come from: `events` where rollups do not tell them apart. Both have the same columns, and those of events
 * more.
 */
export type SumSource = 'rollups' | 'events';

const AMOUNTS = 'requests, input_tokens, output_tokens, cost_micro_cents';

/** A total `t` with what is pending `p`, either of which may be none: what will be stored. */
const TOTAL_WITH_PENDING = AMOUNTS.split(', ')
  .map((name) => `saturating_add(coalesce(t.${name}, 0), saturated(coalesce(p.${name}, 0))) AS ${name}`)
  .join(', ');

const ROLLUPS = 'usage_rollup_hour WHERE hour >= $1 AND hour < $2';

/** What is booked and not in rollups yet (docs/adr/0053). */
const PENDING = 'usage_pending_rows() WHERE hour >= $1 AND hour < $2';

/** What is summed up, as the names of parameters; null: all. Only events know a subject. */
interface UsageOf {
  /** A project whose keys of all times are enough. */
  readonly project: string | null;
  readonly subject: string | null;
}

const OF_ALL: UsageOf = { project: null, subject: null };

/** Usage from $1 to before $2. */
const SOURCES: Record<SumSource, (of: UsageOf) => string> = {
  rollups: () => `(SELECT key_id, hour AS at, model, version_id, ${AMOUNTS} FROM ${ROLLUPS}
             UNION ALL SELECT key_id, hour, model, version_id, ${AMOUNTS} FROM ${PENDING})`,
  events: ({ subject }) =>
    `(SELECT *, received_at AS at FROM usage_event WHERE received_at >= $1 AND received_at < $2 ${ofSubject('subject', subject)})`,
};

/**
 * Usage from $1 to before $2 by the version of its key; null: its first version. What an hour has of other versions
 * than its first is taken from that one (docs/adr/0033). What the release before books has the version of its rollup.
 */
const BY_VERSION: Record<SumSource, (of: UsageOf) => string> = {
  rollups: ({
    project,
  }) => `(SELECT key_id, hour AS at, model, version_id, ${AMOUNTS} FROM ${ROLLUPS} ${ofKeys('key_id', project)}
             UNION ALL SELECT key_id, hour, model, version_id, ${AMOUNTS} FROM ${PENDING} ${ofKeys('key_id', project)}
             UNION ALL SELECT key_id, hour, model, version_id, ${AMOUNTS} FROM usage_rollup_moved
              WHERE hour >= $1 AND hour < $2 ${ofKeys('key_id', project)}
             UNION ALL SELECT key_id, hour, model, from_version_id, -requests, -input_tokens, -output_tokens, -cost_micro_cents
               FROM usage_rollup_moved WHERE hour >= $1 AND hour < $2 ${ofKeys('key_id', project)})`,
  events: ({
    project,
    subject,
  }) => `(SELECT e.key_id, e.received_at AS at, e.model, coalesce(e.version_id, h.version_id) AS version_id, e.tags, e.chatbot, e.subject, e.endpoint, e.status_code,
                   e.requests, e.input_tokens, e.output_tokens, e.cost_micro_cents
              FROM usage_event e LEFT JOIN usage_rollup_hour h ON e.version_id IS NULL AND h.key_id = e.key_id
                   AND h.hour = date_trunc('hour', e.received_at, 'UTC') AND h.model = e.model
             WHERE e.received_at >= $1 AND e.received_at < $2 ${ofSubject('e.subject', subject)} ${ofKeys('e.key_id', project)})`,
};

/** The keys that were ever in a project: few beside all that have used something. */
function ofKeys(key: string, project: string | null): string {
  return project === null ? '' : `AND ${key} IN (SELECT p.key_id FROM key_version p WHERE p.project_id = ${project})`;
}

function ofSubject(column: string, subject: string | null): string {
  return subject === null ? '' : `AND ${column} = ${subject}`;
}

/** The name that a thing had before $2, or its first. */
const nameAsOf = (table: string, id: string) =>
  `coalesce((SELECT n.name FROM ${table} n WHERE n.${id} = g."group"::uuid AND n.since < $2 ORDER BY n.id DESC LIMIT 1),
            (SELECT n.name FROM ${table} n WHERE n.${id} = g."group"::uuid ORDER BY n.id LIMIT 1))`;

/** By what usage is grouped: the group as text, its name, and what has to be joined. `''` is no model. */
const GROUPS: Record<SummaryGroup, { group: string; name?: string; join?: string; isByVersion?: true }> = {
  day: { group: 'width_bucket(r.at, $4::timestamptz[])::text' },
  model: { group: `nullif(r.model, '')` },
  key: { group: 'r.key_id::text', name: nameAsOf('key_version', 'key_id') },
  owner: { group: 'v.owner_id::text', name: nameAsOf('user_version', 'user_id'), isByVersion: true },
  project: { group: 'v.project_id::text', name: nameAsOf('project_version', 'project_id'), isByVersion: true },
  tag: { group: 't.tag', join: 'LEFT JOIN LATERAL unnest(v.tags) AS t (tag) ON true', isByVersion: true },
  callTag: { group: 't.tag', join: 'LEFT JOIN LATERAL unnest(r.tags) AS t (tag) ON true' },
  chatbot: { group: 'r.chatbot' },
  subject: { group: 'r.subject' },
  endpoint: { group: 'r.endpoint' },
  status: { group: 'r.status_code::text' },
};

/** What a summary is made of. */
export interface SummaryOptions {
  readonly limit: number;
  readonly starts: readonly Date[];
  readonly source: SumSource;
  /** null: of all keys. */
  readonly projectId: string | null;
  /** null: of all subjects, and of none. One is known to events alone. */
  readonly subject: string | null;
}

/** Groups that rollups do not tell apart. */
export const GROUPS_OF_EVENTS: readonly SummaryGroup[] = ['callTag', 'chatbot', 'subject', 'endpoint', 'status'];

/** What the version of usage `r` says; without a version the first one. */
const VERSION_OF_R = `(SELECT owner_id, project_id, tags FROM key_version k
    WHERE k.key_id = r.key_id AND (r.version_id IS NULL OR k.id = r.version_id) ORDER BY k.id LIMIT 1)`;

/** Sums of one version of a key, with what that version says. */
const VERSIONS = (source: SumSource, of: UsageOf) => `
  (SELECT key_id, version_id, ${SUMS}_micro_cents FROM ${BY_VERSION[source](of)} s GROUP BY 1, 2) r
  LEFT JOIN LATERAL ${VERSION_OF_R} v ON true`;

/** Usage of keys, of those of a project while they were in it. */
const USAGE_OF = (source: SumSource, of: UsageOf) =>
  of.project === null
    ? SOURCES[source](of)
    : `(SELECT r.* FROM ${BY_VERSION[source](of)} r, LATERAL ${VERSION_OF_R} v WHERE v.project_id = ${of.project})`;

/** Reads usage from rollups, totals, counted verdicts, and from events where those do not tell. */
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
      `WITH pending AS MATERIALIZED (SELECT * FROM usage_pending_rows() WHERE key_id = $1),
            total AS (SELECT ${TOTAL_WITH_PENDING}
                        FROM (SELECT ${SUMS}_micro_cents FROM pending) p LEFT JOIN key_totals t ON t.key_id = $1),
            today AS (SELECT hour, ${AMOUNTS} FROM usage_rollup_hour WHERE key_id = $1 AND hour >= date_trunc('day', now(), 'UTC')
                      UNION ALL SELECT hour, ${AMOUNTS} FROM pending WHERE hour >= date_trunc('day', now(), 'UTC'))
       SELECT (SELECT row_to_json(s) FROM (SELECT ${SUMS_AS_TEXT} FROM total) s) AS total,
              (SELECT row_to_json(s) FROM (SELECT ${SUMS_AS_TEXT} FROM today) s) AS today,
              (SELECT row_to_json(s) FROM (SELECT ${SUMS_AS_TEXT} FROM today WHERE hour = date_trunc('hour', now(), 'UTC')) s) AS hour,
              (SELECT jsonb_object_agg(code, n) FROM (SELECT code, sum(count) AS n FROM verdict_minute
                WHERE key_id = $1 AND minute >= date_trunc('day', now(), 'UTC') GROUP BY code) v) AS verdicts,
              (SELECT nullif(key_last_used(t.last_used_at, p.at), '-infinity')
                 FROM (SELECT max(booked_at) AS at FROM pending) p LEFT JOIN key_totals t ON t.key_id = $1) AS last_used_at`,
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

  /**
   * Usage of a key in the steps that begin at `starts`, in order of time; of each model by itself or of all together
   * (`model` null).
   */
  async stepsOf(
    keyId: string,
    { from, to }: TimeRange,
    { starts, byModel, source }: { starts: readonly Date[]; byModel: boolean; source: SumSource },
  ): Promise<SeriesStep[]> {
    const rows = await this.inTime<SumsRow & { step: number; model: string | null }>(
      `SELECT width_bucket(r.at, $3::timestamptz[]) AS step, ${byModel ? `nullif(model, '')` : 'NULL'} AS model, ${SUMS}
         FROM ${SOURCES[source](OF_ALL)} r WHERE key_id = $4 GROUP BY 1, 2 ORDER BY 1`,
      [from, to, starts, keyId],
    );
    return rows.map((row) => ({ at: starts[row.step - 1]!, model: row.model, sums: sumsOf(row) }));
  }

  /**
   * Up to `limit` groups: days in order, everything else by cost, the dearest first. Owners, tags and names are those
   * of the time. The group of a day is its place in `starts`, from 1. With `projectId`: of keys while they were in it.
   */
  async summarize(
    groupBy: SummaryGroup,
    { from, to }: TimeRange,
    { limit, starts, source, projectId, subject }: SummaryOptions,
  ): Promise<GroupSums[]> {
    const { group, name = 'NULL', join = '', isByVersion } = GROUPS[groupBy];
    const order = groupBy === 'day' ? '"group"::integer' : 'cost DESC, requests DESC, "group"';
    const values: unknown[] = [from, to, limit, ...(groupBy === 'day' ? [starts] : [])];
    const of = namesIn(values, { projectId, subject });
    const where = isByVersion && of.project !== null ? `WHERE v.project_id = ${of.project}` : '';
    const rows = await this.inTime<SumsRow & { group: string | null; name: string | null }>(
      `SELECT g.*, ${name} AS name FROM (
         SELECT s.* FROM (
           SELECT ${group} AS "group", ${SUMS}
             FROM ${isByVersion ? VERSIONS(source, of) : `${USAGE_OF(source, of)} r`} ${join} ${where} GROUP BY 1
         ) s WHERE requests > 0 ORDER BY ${order} LIMIT $3) g ORDER BY ${order}`,
      values,
    );
    return rows.map((row) => ({ group: row.group, name: row.name, sums: sumsOf(row) }));
  }

  /** Everything in a range, once; with `projectId` of keys while they were in it, with `subject` what is of it. */
  async sumOf(
    { from, to }: TimeRange,
    source: SumSource,
    asked: Pick<SummaryOptions, 'projectId' | 'subject'>,
  ): Promise<UsageSums> {
    const values: unknown[] = [from, to];
    const usage = USAGE_OF(source, namesIn(values, asked));
    const [row] = await this.inTime<SumsRow>(`SELECT ${SUMS} FROM ${usage} r`, values);
    return sumsOf(row!);
  }

  /** When what was booked before got the owners, tags and names of that instant; null: nothing was. */
  async assumedAt(): Promise<Date | null> {
    const [row] = await this.manager.query<{ at: Date | null }[]>(
      `SELECT max(assumed_at) AS at FROM key_version WHERE assumed_at IS NOT NULL`,
    );
    return row!.at;
  }

  /** The last month of a range whose events were archived; null: those of the whole range are there. */
  async lastArchivedIn({ from, to }: TimeRange): Promise<ArchivedMonth | null> {
    const [row] = await this.manager.query<ArchivedMonth[]>(
      `SELECT to_char(month, 'YYYY-MM') AS month, (month + interval '1 month') AT TIME ZONE 'UTC' AS "endsAt" FROM usage_archive
        WHERE month::timestamp AT TIME ZONE 'UTC' < $2 AND (month + interval '1 month') AT TIME ZONE 'UTC' > $1
        ORDER BY 1 DESC LIMIT 1`,
      [from, to],
    );
    return row ?? null;
  }

  /** Up to `limit` pairs of key and code, most refused first. */
  async refusalsIn({ from, to }: TimeRange, keyId: string | null, limit: number): Promise<RefusalCount[]> {
    return this.manager.query<RefusalCount[]>(
      `SELECT c.key_id AS "apiKeyId", v.name, v.owner_id AS "ownerId", c.code, c.count, c.first_at AS "firstAt", c.last_at AS "lastAt"
         FROM (SELECT key_id, code, sum(count)::float8 AS count, min(minute) AS first_at, max(minute) AS last_at
                 FROM verdict_minute
                WHERE minute >= $1 AND minute < $2 AND code <> 'VALID' AND ($3::uuid IS NULL OR key_id = $3)
                GROUP BY key_id, code ORDER BY count DESC, key_id, code LIMIT $4) c
         LEFT JOIN LATERAL (SELECT name, owner_id FROM key_version k WHERE k.key_id = c.key_id
                             ORDER BY (k.since < $2) DESC, CASE WHEN k.since < $2 THEN -k.id ELSE k.id END LIMIT 1) v ON true
        ORDER BY c.count DESC, c.key_id, c.code`,
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

  /** @throws DomainError 503 where PostgreSQL gives the statement up: the caller can ask for less */
  private async inTime<Row>(text: string, values: unknown[]): Promise<Row[]> {
    try {
      return await this.manager.query<Row[]>(text, values);
    } catch (error) {
      if (sqlState(error) !== SQL_STATES.queryCanceled) throw error;
      throw unavailable('The report was not summed up in time. Ask for a shorter range, or try again.', error);
    }
  }
}

/** The names of a project and a subject among the values of a statement, which get them. */
function namesIn(values: unknown[], { projectId, subject }: Pick<SummaryOptions, 'projectId' | 'subject'>): UsageOf {
  return {
    project: projectId === null ? null : `$${values.push(projectId)}::uuid`,
    subject: subject === null ? null : `$${values.push(subject)}::text`,
  };
}

function sumsOf(row: SumsRow | null): UsageSums {
  return {
    requests: BigInt(row?.requests ?? 0),
    inputTokens: BigInt(row?.input_tokens ?? 0),
    outputTokens: BigInt(row?.output_tokens ?? 0),
    costMicroCents: BigInt(row?.cost ?? 0),
  };
}
