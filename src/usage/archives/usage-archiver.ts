import type { Client } from 'pg';
import type { DataSource } from 'typeorm';
import { ADVISORY_LOCKS } from '../../database/advisory-locks.js';
import { copyOut } from '../../database/copy.js';
import { SessionClient } from '../../database/session-client.js';
import { sessionConfigOf } from '../../database/session-config.js';
import { allowedArchiving, ARCHIVING_NOT_ALLOWED } from './allowed-archiving.js';
import { type ArchiveManifest, SUMMED, writeArchive } from './archive-file.js';

/** Months that are over and wait to be archived are as many at most; more than a century of them is a defect. */
const MAX_MONTHS = 1200;

/**
 * Months whose events are to be archived: those with events or a partition that ended `$1` months before this one, and
 * were not archived yet. Where the owner of the schema keeps more months, so many are kept. What comes into an archived
 * month later, by a clock that was set back, stays where it is.
 */
const DUE = `
  WITH kept AS (
    SELECT (date_trunc('month', now() AT TIME ZONE 'UTC')
            - make_interval(months => greatest($1::int, (SELECT keep_months FROM usage_archiving))))::date AS first),
  month AS (
    SELECT to_date(substr(c.relname, 13), 'YYYY_MM') AS first FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'usage_event'::regclass AND c.relname ~ '^usage_event_\\d{4}_\\d\\d$'
    UNION
    SELECT date_trunc('month', received_at AT TIME ZONE 'UTC')::date FROM usage_event_default
     WHERE received_at < (SELECT first FROM kept) AT TIME ZONE 'UTC')
  SELECT to_char(m.first, 'YYYY-MM') AS month FROM month m
   WHERE m.first < (SELECT first FROM kept) AND NOT EXISTS (SELECT FROM usage_archive a WHERE a.month = m.first)
   ORDER BY m.first LIMIT ${MAX_MONTHS}`;

/** One line of JSON for each event, in one order. Texts of JSON have no control characters, so nothing is quoted. */
const eventsOf = (month: string) => `
  COPY (SELECT row_to_json(e) FROM usage_event e
         WHERE received_at >= '${month}-01 00:00+00' AND received_at < timestamptz '${month}-01 00:00+00' + interval '1 month'
         ORDER BY received_at, key_id, caller_id, event_id)
    TO STDOUT WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')`;

/** Where archives go, and how many whole months before this one stay in the database. */
export interface ArchiveTerms {
  readonly directory: string;
  readonly keepMonths: number;
}

/** Moves usage events of old months out of the database into files, a month at a time. */
export class UsageArchiver {
  private session: SessionClient | null = null;
  private hasEnded = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly terms: ArchiveTerms,
  ) {}

  /** Gives up what is under way: the process ends, and the next one begins that month anew. */
  end(): void {
    this.hasEnded = true;
    this.session?.destroy();
  }

  /** Months that wait to be archived, oldest first. */
  async due(): Promise<string[]> {
    const rows = await this.dataSource.query<{ month: string }[]>(DUE, [this.terms.keepMonths]);
    return rows.map(({ month }) => month);
  }

  /**
   * Archives what is due. One process at a time does; the others find nothing to do. Ended at any point, the next round
   * goes on: a month is in the database, or in its file, or in both until it is dropped, and counted once.
   *
   * @throws Error where the owner of the schema has not allowed it
   */
  async archiveAll(onDone: (manifest: ArchiveManifest) => void = () => undefined): Promise<void> {
    if ((await allowedArchiving(this.dataSource)) === null) throw new Error(ARCHIVING_NOT_ALLOWED);
    if ((await this.due()).length === 0) return;
    // The lock, the events and the end of the partition are of one session: who has lost the lock can finish nothing.
    const session = new SessionClient(sessionConfigOf(this.dataSource, 'usage-archive', 'reader'));
    this.session = session;
    try {
      await session.connect();
      // A month is read for as long as it takes.
      await session.query('SET statement_timeout = 0');
      const lock = 'SELECT pg_try_advisory_lock($1) AS taken';
      const { rows } = await session.query<{ taken: boolean }>(lock, [ADVISORY_LOCKS.usageArchive]);
      if (!rows[0]!.taken) return;
      for (const month of await this.due()) onDone(await this.archive(session, month));
    } catch (error) {
      if (!this.hasEnded) throw error;
    } finally {
      session.destroy();
    }
  }

  private async archive(session: Client, month: string): Promise<ArchiveManifest> {
    const first = `${month}-01`;
    // What came while nothing made the partition is in the default one.
    await session.query('SELECT usage_event_prepare(0, $1)', [first]);
    const { rows } = await session.query<{ id: string }>('SELECT id FROM installation');
    const manifest = await writeArchive(this.terms.directory, {
      installation: rows[0]!.id,
      month,
      lines: () => copyOut(session, eventsOf(month)),
    });
    const sums = SUMMED.map((name) => manifest.sums[name]);
    await session.query('SELECT usage_event_archive_3($1, $2, $3, $4, $5, $6, $7, $8)', [
      first,
      manifest.file,
      Buffer.from(manifest.sha256, 'hex'),
      manifest.events,
      ...sums,
    ]);
    return manifest;
  }
}
