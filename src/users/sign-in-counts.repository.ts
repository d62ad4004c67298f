import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { type StoredCount, WINDOW_MS } from './sign-in-counters.js';

/** Failed sign-ins of one account since its person was last told of them. */
export interface AccountFailures {
  readonly failures: number;
  readonly lastAt: Date;
  /** null: the address of the last one is not known. */
  readonly lastIp: string | null;
}

/** Counters whose window is over leave this many at a time. */
const MAX_REMOVED = 1_000;

const IN_WINDOW = `started_at > clock_timestamp() - interval '${WINDOW_MS} ms'`;
const REMAINING = `ceil(extract(epoch FROM started_at - clock_timestamp()) * 1000)::float8 + ${WINDOW_MS}`;

/** In order of counters and users, so that replicas that tell at the same time wait for each other in one order. */
const ADD = `
  WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
  counted AS (
    INSERT INTO sign_in_count AS c (counter, failures)
    SELECT decode(t.counter, 'hex'), t.failures FROM quick, unnest($1::text[], $2::integer[]) AS t (counter, failures) ORDER BY 1
    ON CONFLICT (counter) DO UPDATE SET
      failures = CASE WHEN c.${IN_WINDOW} THEN least(c.failures + excluded.failures, 1000000) ELSE excluded.failures END,
      started_at = CASE WHEN c.${IN_WINDOW} THEN c.started_at ELSE excluded.started_at END
    RETURNING counter, failures, started_at
  ), persons AS (
    INSERT INTO sign_in_failure AS f (user_id, failures, last_at, last_ip)
    SELECT t.user_id, t.failures, t.last_at, t.last_ip
      FROM unnest($3::uuid[], $4::integer[], $5::timestamptz[], $6::text[]) AS t (user_id, failures, last_at, last_ip) ORDER BY 1
    ON CONFLICT (user_id) DO UPDATE SET
      failures = f.failures + excluded.failures,
      last_at = greatest(f.last_at, excluded.last_at),
      last_ip = CASE WHEN excluded.last_at >= f.last_at THEN excluded.last_ip ELSE f.last_ip END
  ), removed AS (
    DELETE FROM sign_in_count WHERE counter IN (
      SELECT counter FROM sign_in_count
       WHERE started_at < clock_timestamp() - interval '${2 * WINDOW_MS} ms' AND encode(counter, 'hex') <> ALL ($1::text[])
       LIMIT ${MAX_REMOVED} FOR UPDATE SKIP LOCKED)
  )
  SELECT encode(counter, 'hex') AS counter, failures, ${REMAINING} AS remaining_ms FROM counted`;

interface Row {
  counter: string;
  failures: number;
  remaining_ms: number;
}

/** Failed sign-ins as all replicas count them. */
@Injectable()
export class SignInCountsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The counters that have failures in a window that has not ended. */
  async find(counters: readonly string[]): Promise<StoredCount[]> {
    const rows = await this.manager.query<Row[]>(
      `SELECT encode(counter, 'hex') AS counter, failures, ${REMAINING} AS remaining_ms FROM sign_in_count
        WHERE counter = ANY (ARRAY(SELECT decode(t, 'hex') FROM unnest($1::text[]) AS t)) AND ${IN_WINDOW}`,
      [counters],
    );
    return rows.map(storedCount);
  }

  /** Adds to counters and accounts in one statement, and returns what these counters have now. */
  async add(
    counters: ReadonlyMap<string, number>,
    accounts: ReadonlyMap<string, AccountFailures>,
  ): Promise<StoredCount[]> {
    const failures = [...accounts.values()];
    const rows = await this.manager.query<Row[]>(ADD, [
      [...counters.keys()],
      [...counters.values()],
      [...accounts.keys()],
      failures.map((one) => one.failures),
      failures.map((one) => one.lastAt),
      failures.map((one) => one.lastIp),
    ]);
    return rows.map(storedCount);
  }
}

function storedCount({ counter, failures, remaining_ms }: Row): StoredCount {
  return { counter, failures, remainingMs: remaining_ms };
}
