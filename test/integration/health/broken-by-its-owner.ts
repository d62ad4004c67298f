import { randomUUID } from 'node:crypto';
import { APP_ROLE } from '../../../src/database/application.js';
import type { Poll } from '../../../src/key-cache/feed/change-feed.js';
import { ImportedReader } from '../../../src/key-cache/records/imported-reader.js';
import { RecordCache } from '../../../src/key-cache/records/record-cache.js';
import { FailoverService } from '../../../src/replicas/failover/failover.service.js';
import type { TestApp } from '../../support/app.js';
import type { TestDatabase } from '../../support/postgres.js';
import { asOwner } from '../../support/trail.js';

/**
 * Takes from the servers' login what some of their functions need, so that these fail and all others go on. The
 * comment behind each says which alert it is for.
 */
const BROKEN = [
  // LatchkeyUsageNotSummedUp
  'ALTER FUNCTION usage_roll_up(integer) RENAME TO usage_roll_up_away',
  // LatchkeyRefusedCallsNotKept
  'ALTER FUNCTION refused_calls_note(jsonb, integer, integer, bigint) RENAME TO refused_calls_note_away',
  // LatchkeyTrailNotRecorded, and half a minute later LatchkeyTrailEntriesLost
  `REVOKE INSERT ON audit_read FROM ${APP_ROLE}`,
  // LatchkeySignInsNotShared
  `REVOKE INSERT ON sign_in_count, sign_in_failure FROM ${APP_ROLE}`,
  // LatchkeySecretVersionMissing: as another replica records a version that it brings
  `INSERT INTO secret_fingerprint (variable, version, fingerprint, first_seen_at)
     VALUES ('API_KEY_PEPPERS', 'brought', '\\x0102030405060708', now())`,
  // LatchkeyRowsDiffer
  `UPDATE role SET description = 'written past Latchkey' WHERE name = 'user'`,
  // LatchkeyImportedKeysUnknown, after half a minute: the statement that reads imported keys fails, and no other one
  `CREATE FUNCTION fails_imported() RETURNS boolean LANGUAGE plpgsql AS $$
     BEGIN
       IF current_query() LIKE '%string_agg(mac%' THEN RAISE EXCEPTION 'not now'; END IF;
       RETURN true;
     END $$`,
  'ALTER TABLE api_key_secret ENABLE ROW LEVEL SECURITY',
  'CREATE POLICY others ON api_key_secret USING (fails_imported())',
];

/** Breaks functions of the servers of a database, and has this one read imported keys anew, as after a failover. */
export async function breakByOwner(database: TestDatabase, app: TestApp): Promise<void> {
  await asOwner(database, async (client) => {
    for (const statement of BROKEN) await client.query(statement);
  });
  const [head] = await app.dataSource.query<{ epoch: string }[]>('SELECT epoch FROM change_head');
  app.app.get(RecordCache, { strict: false }).imported.restart(head!.epoch);
  app.app.get(ImportedReader, { strict: false }).begin();
}

/** Holds a lock on a table until `release` is called: `EXCLUSIVE` has writers wait, `ACCESS EXCLUSIVE` all. */
export async function lockTable(
  database: TestDatabase,
  table: string,
  mode: 'EXCLUSIVE' | 'ACCESS EXCLUSIVE' = 'EXCLUSIVE',
): Promise<{ release: () => void }> {
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  await new Promise<void>((locked, failed) => {
    asOwner(database, async (client) => {
      await client.query(`BEGIN; LOCK TABLE ${table} IN ${mode} MODE`);
      locked();
      await released;
    }).catch(failed);
  });
  return { release };
}

/** Adds an entry to the trail that no server wrote, and moves the head to it, as the servers' login can. */
export async function forgeEntry(app: TestApp): Promise<void> {
  await app.dataSource.transaction(async (manager) => {
    const [head] = await manager.query<{ seq: string }[]>('SELECT seq + 1 AS seq FROM change_head FOR UPDATE');
    const hash = Buffer.alloc(32, 7);
    await manager.query(
      `INSERT INTO audit_event (seq, id, at, actor_kind, action, resource_type, outcome, body, hash)
       VALUES ($1, $2, now(), 'system', 'audit:cut', 'audit', 'success', '{}', $3)`,
      [head!.seq, randomUUID(), hash],
    );
    await manager.query(`SELECT audit_move_head($1, $2, 'x')`, [head!.seq, hash]);
  });
}

/** Tells a server, as its polls do, that the database has another history, which lacks the revocation of this key. */
export function loseRevocation(app: TestApp, keyId: string): void {
  const failover = app.app.get(FailoverService, { strict: false });
  const place = { epoch: 'epoch', headSeq: 1n, flushedLsn: 1n, replayedLsn: null, isSynchronous: false };
  const poll = (timeline: string, rows: Poll['rows']): Poll => ({
    ...place,
    timeline,
    rows,
    fullBudgets: [],
    databaseNowMs: Date.now(),
  });
  const timing = { sentAtMs: performance.now(), answeredAtMs: performance.now() };
  const lost = { resourceType: 'api-key', resourceId: keyId, outcome: 'success', hasChanges: true } as const;
  const endings = { isRevoked: true, isActive: null, endedKids: [] };
  const row = { ...lost, seq: 1_000_000n, id: randomUUID(), atMs: Date.now(), action: 'api-keys:revoke', endings };
  failover.onFollowed(poll('00000001', [row]), timing);
  failover.onHistory(poll('00000002', []), { seq: 1n, epoch: 'epoch', timeline: '00000001', flushedLsn: 1n }, timing);
}
