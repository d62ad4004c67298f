import { hostname } from 'node:os';
import type { DataSource, QueryRunner } from 'typeorm';
import { ADVISORY_LOCKS } from '../advisory-locks.js';
import type { SchemaLog } from './runner.js';
import { Periodic } from '../../common/periodic.js';

/** How often a process that waits says so. */
const REPORT_MS = 10_000;

/** As PostgreSQL keeps it. */
const MAX_NAME_BYTES = 63;

/** A session that holds the lock is idle since it got it: whatever it does next, it does in another session. */
const HOLDER = `
SELECT a.pid, coalesce(nullif(a.application_name, ''), 'a session without a name') AS name,
       coalesce(host(a.client_addr) || ':' || a.client_port, 'the machine of the database') AS address,
       extract(epoch FROM clock_timestamp() - a.state_change)::int AS seconds
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = $1 AND l.objsubid = 1 AND l.granted
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

/** What a session of this process waits for. */
const BLOCKERS = `
SELECT b.pid, coalesce(nullif(b.application_name, ''), 'a session without a name') AS name,
       coalesce(host(b.client_addr) || ':' || b.client_port, 'the machine of the database') AS address,
       extract(epoch FROM clock_timestamp() - b.xact_start)::int AS seconds
  FROM pg_stat_activity a, unnest(pg_blocking_pids(a.pid)) AS blocker JOIN pg_stat_activity b ON b.pid = blocker
 WHERE a.pid = $1 AND a.wait_event_type = 'Lock' LIMIT 1`;

interface OtherSession {
  readonly pid: number;
  readonly name: string;
  readonly address: string;
  readonly seconds: number | null;
}

/**
 * Does `work`, in a session of its own, while this process holds the lock of migrations. As long as another holds it,
 * and as long as the work waits for a lock of a table, `log` gets a line every 10 s that names who is in the way.
 */
export async function withMigrationLock(
  owner: DataSource,
  log: SchemaLog,
  work: (runner: QueryRunner) => Promise<void>,
): Promise<void> {
  const [lock, worker] = [owner.createQueryRunner(), owner.createQueryRunner()];
  try {
    await whileReporting(
      async () => waitingLine(await find(owner, HOLDER, ADVISORY_LOCKS.migration)),
      log,
      () => lock.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.migration]),
    );
    // The last statement of this session until it unlocks: others read from it who holds the lock, and since when.
    await lock.query(`SELECT set_config('application_name', $1, false)`, [holderName()]);
    const [{ pid }] = (await worker.query('SELECT pg_backend_pid() AS pid')) as [{ pid: number }];
    await whileReporting(
      async () => blockedLine(await find(owner, BLOCKERS, pid)),
      log,
      () => work(worker),
    );
  } finally {
    // The session goes back to the pool, and with it would the lock.
    await lock.query('SELECT pg_advisory_unlock($1)', [ADVISORY_LOCKS.migration]).catch(() => undefined);
    await Promise.all([lock.release(), worker.release()]);
  }
}

/** What others read of this process while they wait for it. */
function holderName(): string {
  return Buffer.from(`latchkey-migrate ${process.pid} on ${hostname()}`).subarray(0, MAX_NAME_BYTES).toString('utf8');
}

async function whileReporting<T>(
  look: () => Promise<string | null>,
  log: SchemaLog,
  work: () => Promise<T>,
): Promise<T> {
  const reports = new Periodic(REPORT_MS, () =>
    look().then(
      (line) => line !== null && log(line),
      () => undefined,
    ),
  ).start();
  try {
    return await work();
  } finally {
    void reports.stop();
  }
}

async function find(owner: DataSource, sql: string, value: number): Promise<OtherSession | null> {
  const [row] = await owner.query<OtherSession[]>(sql, [value]);
  return row ?? null;
}

function waitingLine(holder: OtherSession | null): string | null {
  if (holder === null) return null;
  return `Waiting for another process that migrates this database: ${described(holder)}. ${advice(holder)}`;
}

function blockedLine(blocker: OtherSession | null): string | null {
  if (blocker === null) return null;
  return `The migration waits for a transaction that has locked a table: ${described(blocker)}. ${advice(blocker)}`;
}

function described({ name, pid, address, seconds }: OtherSession): string {
  return `"${name}", PostgreSQL process ${pid}, from ${address}${seconds === null ? '' : `, for ${seconds} s`}`;
}

function advice({ pid }: OtherSession): string {
  return `If that process is dead or stopped, end its session: SELECT pg_terminate_backend(${pid}).`;
}
