import type { DataSource } from 'typeorm';
import { HISTORY_LOST } from './lost-changes.service.js';

/** So long an operator is reminded; afterwards a loss is only noted. */
const REMINDED_DAYS = 7;

interface Row {
  readonly seq: string;
  readonly at: Date;
  readonly is_recent: boolean;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What failovers have lost, as replicas have written it into the trail. */
export async function findHistoryLosses(dataSource: DataSource): Promise<{ differences: string[]; note?: string }> {
  const rows = await dataSource.query<Row[]>(
    `SELECT seq, at, at > now() - make_interval(days => $2) AS is_recent, details FROM audit_event
      WHERE action = $1 AND details ? 'history' ORDER BY seq DESC LIMIT 100`,
    [HISTORY_LOST, REMINDED_DAYS],
  );
  const differences = rows.filter((row) => row.is_recent).map(sentenceOf);
  const older = rows.length - differences.length;
  return { differences, ...(older === 0 ? {} : { note: `${older} more than ${REMINDED_DAYS} days ago` }) };
}

function sentenceOf({ seq, at, details }: Row): string {
  const { lostChanges, fromSeq, toSeq, lostLogBytes, timeline } = details;
  const what =
    Number(lostChanges) > 0
      ? `the changes seq ${String(fromSeq)}–${String(toSeq)} (${String(lostChanges)})`
      : `${String(lostLogBytes)} bytes of the log`;
  return (
    `${at.toISOString()}: a failover to timeline ${String(timeline)} has lost ${what}; entry ${seq} of the trail names them. ` +
    'Usage and spending of the last moments before it may be missing too.'
  );
}
