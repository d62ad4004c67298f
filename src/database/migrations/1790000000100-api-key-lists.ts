import type { MigrationInterface, QueryRunner } from 'typeorm';

const INDEXES: Record<string, string> = {
  // The primary key includes what a status is made of: lists that start at another table read no rows of keys.
  // One for each order of a list, the id as its tie-breaker; the expressions are those of key-sort.ts. What an expression
  // is made of is included, so that keys are counted by it in the index alone.
  api_key_created_idx: '(created_at, id)',
  api_key_updated_idx: '(updated_at, id)',
  api_key_name_idx: '((lower(name) COLLATE "C"), id)',
  api_key_expires_idx: `((coalesce(expires_at, 'infinity')), id) INCLUDE (expires_at)`,
  // One for each filter; those of a status hold exactly its keys.
  api_key_owner_idx: '(owner_id, created_at, id)',
  api_key_revoked_idx: '(created_at, id) WHERE revoked_at IS NOT NULL',
  api_key_inactive_idx: '(created_at, id) WHERE revoked_at IS NULL AND NOT is_active',
  api_key_switched_off_idx: '(created_at, id) WHERE NOT is_active',
  api_key_switched_on_idx: `((coalesce(expires_at, 'infinity'))) INCLUDE (expires_at) WHERE revoked_at IS NULL AND is_active`,
  api_key_test_idx: `(created_at, id) WHERE environment = 'test'`,
};

/**
 * What: the prefixes of its secrets in a key's searchable text, and the indexes of lists.
 * Why: pages, filters and searches stay fast with a million keys.
 * Lock taken: ACCESS EXCLUSIVE on api_key while the indexes are built.
 * Can old code run against it: yes; it reads neither the prefixes nor the indexes.
 */
export class ApiKeyLists1790000000100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // The newest ten: enough to find the key of an old secret in some log, and no more than one row can bear.
    await runner.query(`
      CREATE FUNCTION api_key_secret_prefixes(wanted uuid) RETURNS text LANGUAGE sql STABLE AS $$
        SELECT coalesce(string_agg(key_prefix, E'\\n' ORDER BY created_at DESC, kid), '')
          FROM (SELECT key_prefix, created_at, kid FROM api_key_secret WHERE key_id = wanted
                 ORDER BY created_at DESC, kid LIMIT 10) AS newest
      $$`);
    await runner.query(`UPDATE api_key SET secret_prefixes = api_key_secret_prefixes(id)`);
    await runner.query(`
      CREATE FUNCTION api_key_note_prefix() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        UPDATE api_key SET secret_prefixes = api_key_secret_prefixes(NEW.key_id) WHERE id = NEW.key_id;
        RETURN NULL;
      END $$`);
    // A trigger, so that no door through which a secret comes can forget it.
    await runner.query(`
      CREATE TRIGGER api_key_secret_note_prefix AFTER INSERT ON api_key_secret
      FOR EACH ROW EXECUTE FUNCTION api_key_note_prefix()`);
    for (const [name, definition] of Object.entries(INDEXES)) {
      await runner.query(`CREATE INDEX ${name} ON api_key ${definition}`);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const name of Object.keys(INDEXES)) await runner.query(`DROP INDEX ${name}`);
    await runner.query(`DROP TRIGGER api_key_secret_note_prefix ON api_key_secret`);
    await runner.query(`DROP FUNCTION api_key_note_prefix()`);
    await runner.query(`DROP FUNCTION api_key_secret_prefixes(uuid)`);
  }
}
