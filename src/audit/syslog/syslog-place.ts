import type { EntityManager } from 'typeorm';
import type { CopiedUpTo } from '../copies/uncopied-entries.js';

/** Up to where a receiver has taken both chains. The database keeps it, so that every replica goes on there. */
export async function placeOfReceiver(manager: EntityManager, receiver: string): Promise<CopiedUpTo> {
  const [row] = await manager.query<{ changes: string; reads: string }[]>(
    'SELECT changes_seq AS changes, reads_seq AS reads FROM audit_syslog WHERE receiver = $1',
    [receiver],
  );
  return { audit_event: { seq: row?.changes ?? '0' }, audit_read: { seq: row?.reads ?? '0' } };
}

/** Notes that a receiver has taken the entries up to `to`. False: another replica has noted something since `from`. */
export async function noteTaken(
  manager: EntityManager,
  receiver: string,
  from: CopiedUpTo,
  to: CopiedUpTo,
): Promise<boolean> {
  const rows = await manager.query<unknown[]>(
    `INSERT INTO audit_syslog AS s (receiver, changes_seq, reads_seq) VALUES ($1, $2, $3)
     ON CONFLICT (receiver) DO UPDATE SET changes_seq = $2, reads_seq = $3, noted_at = clock_timestamp()
      WHERE s.changes_seq = $4 AND s.reads_seq = $5 RETURNING 1`,
    [receiver, ...[to, from].flatMap((place) => [place.audit_event.seq, place.audit_read.seq])],
  );
  return rows.length > 0;
}
