import type { DataSource } from 'typeorm';
import type { AuditSyslogConfig } from '../../config/audit-syslog.js';
import { AuditEventsRepository } from '../audit-events.repository.js';
import { UncopiedEntries } from '../copies/uncopied-entries.js';
import { deliver } from './deliver.js';
import { nameOf } from './audit-syslog.js';
import { placeOfReceiver } from './syslog-place.js';

/** How many entries of the trail a receiver lacks. @throws SetBack where the trail ends before what it has */
export async function findUnsent(receiver: AuditSyslogConfig, { manager }: DataSource): Promise<number> {
  const place = await placeOfReceiver(manager, nameOf(receiver));
  return new UncopiedEntries(new AuditEventsRepository(manager)).count(place);
}

/** Whether a receiver can be reached and behaves as the delivery needs it; nothing is sent. */
export async function tryReceiver(
  receiver: AuditSyslogConfig | null,
  dataSource: DataSource,
): Promise<{ differences: string[]; note?: string }> {
  if (receiver === null) return { differences: [], note: 'AUDIT_SYSLOG_URL is not set' };
  try {
    await deliver(receiver, Buffer.alloc(0));
    return { differences: [], note: `entries that it lacks: ${await findUnsent(receiver, dataSource)}` };
  } catch (error) {
    return { differences: [(error as Error).message] };
  }
}
