import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: the open offer of a key's next secret to its owner; and indexes of keys that have had a secret, of those that have
 * had none, and of open offers.
 * Why: a key is made for a colleague without a secret, which its owner draws (docs/adr/0039). A key that has had no secret
 * is listed as `pending` and not as `active`: either list is counted in an index of its own.
 * Lock taken: ACCESS EXCLUSIVE on api_key for an instant, as the columns are nullable and the constraint is not checked for
 * rows that are there; then SHARE while the table is read three times, some seconds for a million keys: changes of keys wait.
 * Can old code run against it: yes. It leaves the columns alone, lists a key without a secret as `active`, and finds no secret
 * that could verify it.
 */
export class HandOver1790000002600 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE api_key
        ADD COLUMN hand_over_by uuid,
        ADD COLUMN hand_over_until timestamptz,
        ADD COLUMN hand_over_overlap_seconds integer,
        ADD CONSTRAINT api_key_hand_over_check CHECK (
          num_nulls(hand_over_by, hand_over_until, hand_over_overlap_seconds) IN (0, 3)
          AND hand_over_overlap_seconds BETWEEN 0 AND 604800) NOT VALID`);
    for (const [name, definition] of INDEXES) await runner.query(`CREATE INDEX ${name} ON api_key ${definition}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const [name] of INDEXES) await runner.query(`DROP INDEX ${name}`);
    await runner.query(`
      ALTER TABLE api_key
        DROP COLUMN hand_over_by, DROP COLUMN hand_over_until, DROP COLUMN hand_over_overlap_seconds`);
  }
}

/** Their conditions are those of the statuses in src/api-keys/lists/key-conditions.ts, so that they are seen to apply. */
const INDEXES = [
  ['api_key_hand_over_idx', '(hand_over_until) WHERE hand_over_until IS NOT NULL'],
  ['api_key_pending_idx', `(created_at, id) WHERE revoked_at IS NULL AND is_active AND secret_prefixes = ''`],
  [
    'api_key_usable_idx',
    `(coalesce(expires_at, 'infinity')) INCLUDE (expires_at) WHERE revoked_at IS NULL AND is_active AND secret_prefixes <> ''`,
  ],
] as const;
