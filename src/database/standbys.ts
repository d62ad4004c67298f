import type { DataSource } from 'typeorm';

interface Row {
  readonly standbys: number;
  readonly names: string;
  readonly commit: string;
}

/** What `synchronous_commit` says where a commit waits until a standby has it on its disk. */
const WAITS = new Set(['on', 'remote_apply']);

/** Standbys that follow the server, and what a failover to one of them may lose. */
export interface Standbys {
  readonly count: number;
  /** One sentence that says what to do; null: an acknowledged change survives a failover, or no standby is there. */
  readonly warning: string | null;
}

/** Asks the server who follows it. Any role may count its standbys; their names and delays it may not see. */
export async function readStandbys(dataSource: DataSource): Promise<Standbys> {
  const [row] = await dataSource.query<Row[]>(
    `SELECT (SELECT count(*)::int FROM pg_stat_replication WHERE application_name IS DISTINCT FROM 'pg_basebackup') AS standbys,
            current_setting('synchronous_standby_names') AS names, current_setting('synchronous_commit') AS commit`,
  );
  return { count: row!.standbys, warning: row!.standbys === 0 ? null : warningOf(row!) };
}

function warningOf({ standbys, names, commit }: Row): string | null {
  const head = `PostgreSQL streams to ${standbys} ${standbys === 1 ? 'standby' : 'standbys'}, and commits do not wait for it:`;
  const loss = 'a failover loses acknowledged revocations, usage and spending.';
  if (names === '') return `${head} ${loss} Set synchronous_standby_names on the server.`;
  if (!WAITS.has(commit)) return `${head} ${loss} Set synchronous_commit to on; it is ${commit}.`;
  return null;
}
