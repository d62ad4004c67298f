import type { EntityManager } from 'typeorm';
import type { Config } from '../../config/config.js';
import { inTime } from '../copies/audit-copy.js';
import { placeOfCopy } from '../copies/copy-place.js';
import { nameOf } from '../syslog/audit-syslog.js';
import { placeOfReceiver } from '../syslog/syslog-place.js';

/** What gets the trail entry by entry, and has to have it before it leaves the database. */
export type CopiesOfTrail = Pick<Config, 'auditCopyFile' | 'auditSyslog'>;

/** What does not have the changes up to `toSeq` yet, of the copies that this process is configured with; null: none. */
export async function copyThatLacks(
  manager: EntityManager,
  { auditCopyFile, auditSyslog }: Partial<CopiesOfTrail>,
  toSeq: string,
): Promise<string | null> {
  if (auditSyslog != null) {
    const { audit_event: taken } = await placeOfReceiver(manager, nameOf(auditSyslog));
    if (BigInt(taken.seq) < BigInt(toSeq)) return `the receiver ${nameOf(auditSyslog)} of AUDIT_SYSLOG_URL`;
  }
  if (auditCopyFile != null) {
    const { audit_event: written } = await inTime(placeOfCopy(auditCopyFile), auditCopyFile);
    if (BigInt(written.seq) < BigInt(toSeq)) return 'AUDIT_COPY_FILE';
  }
  return null;
}
