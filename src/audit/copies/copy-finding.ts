import type { DataSource, EntityManager } from 'typeorm';
import { AuditEventsRepository } from '../audit-events.repository.js';
import { placeOfCopy } from './copy-place.js';
import { type CopiedUpTo, UncopiedEntries } from './uncopied-entries.js';

/** A copy gets each entry within seconds. One that it lacks for longer is not under way. */
const MAX_UNDER_WAY_MINUTES = 5;
const THE_FIRST = { maxBytes: 0, maxRows: 1, bytesOf: () => 0 };

/** What a copy of the trail lacks. */
export interface Lack {
  readonly entries: number;
  /** One of them was recorded so long ago that the copy stands still. */
  readonly isLate: boolean;
}

/**
 * What the copy in a file lacks, and whether it has any change.
 *
 * @throws SetBack where the database does not have what the copy ends with, SealedMeanwhile where the copy would get a
 * gap, Error where the file cannot be read
 */
export async function findUncopied(
  path: string,
  { manager }: DataSource,
): Promise<{ lack: Lack; hasChanges: boolean }> {
  const place = await placeOfCopy(path);
  const lack = await lackOf(place, manager);
  await new UncopiedEntries(new AuditEventsRepository(manager)).requireSameHistory(place);
  return { lack, hasChanges: place.audit_event.seq !== '0' };
}

/** @throws SetBack where the trail ends before what a copy has, SealedMeanwhile where the copy would get a gap */
export async function lackOf(place: CopiedUpTo, manager: EntityManager): Promise<Lack> {
  const uncopied = new UncopiedEntries(new AuditEventsRepository(manager));
  const entries = await uncopied.count(place);
  const first = await uncopied.next(place, ({ record }) => record.at, THE_FIRST);
  const [row] = await manager.query<{ isLate: boolean }[]>(
    `SELECT coalesce(min(at) < clock_timestamp() - make_interval(mins => $2), false) AS "isLate" FROM unnest($1::timestamptz[]) AS at`,
    [first.map(({ formatted }) => formatted), MAX_UNDER_WAY_MINUTES],
  );
  return { entries, isLate: row!.isLate };
}
