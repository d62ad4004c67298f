import type { DataSource } from 'typeorm';
import { AuditEventsRepository } from '../audit-events.repository.js';
import { placeOfCopy } from './copy-place.js';
import { UncopiedEntries } from './uncopied-entries.js';

/**
 * How many entries of the trail the copy in a file lacks, and whether it has any change.
 *
 * @throws SetBack where the trail ends before what the copy has, Error where the file cannot be read
 */
export async function findUncopied(
  path: string,
  { manager }: DataSource,
): Promise<{ lacking: number; hasChanges: boolean }> {
  const place = await placeOfCopy(path);
  const lacking = await new UncopiedEntries(new AuditEventsRepository(manager)).count(place);
  return { lacking, hasChanges: place.audit_event.seq !== '0' };
}
