import type { DataSource } from 'typeorm';
import type { AuditSyslogConfig } from '../../config/audit-syslog.js';
import { type Lack, lackOf } from '../copies/copy-finding.js';
import { deliver } from './deliver.js';
import { nameOf } from './audit-syslog.js';
import { placeOfReceiver } from './syslog-place.js';

/** What a receiver lacks of the trail. @throws as {@link lackOf} */
export async function findUnsent(receiver: AuditSyslogConfig, { manager }: DataSource): Promise<Lack> {
  return lackOf(await placeOfReceiver(manager, nameOf(receiver)), manager);
}

/** Whether a receiver can be reached and behaves as the delivery needs it; nothing is sent. */
export async function tryReceiver(
  receiver: AuditSyslogConfig | null,
  dataSource: DataSource,
): Promise<{ differences: string[]; note?: string }> {
  if (receiver === null) return { differences: [], note: 'AUDIT_SYSLOG_URL is not set' };
  try {
    await deliver(receiver, Buffer.alloc(0));
    return { differences: [], note: `entries that it lacks: ${(await findUnsent(receiver, dataSource)).entries}` };
  } catch (error) {
    return { differences: [(error as Error).message] };
  }
}
