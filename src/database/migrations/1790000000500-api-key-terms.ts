import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: the terms of a key (owner, tags, scopes, revoked or switched off, every three letters that follow each other in its
 * text), and one index of them.
 * Why: an inverted index collects all matches before it gives the first, and of a frequent term that is a tenth of the
 * table. Terms are hashed together with the batch of 131 072 keys, by order of creation, that a key is in: a batch is
 * asked at a time, and asking ends with enough matches.
 * Lock taken: ACCESS EXCLUSIVE on api_key while it is rewritten and the index is built, some minutes for a million keys.
 * Can old code run against it: yes; its searches read the table.
 */
export class ApiKeyTerms1790000000500 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_key ADD COLUMN ordinal bigint NOT NULL GENERATED ALWAYS AS IDENTITY`);
    // The same function makes the terms of a key and those that are looked for; there, NULL is for what is not asked for.
    await runner.query(`
      CREATE FUNCTION api_key_terms(ordinal bigint, owners uuid[], tags text[], scopes text[], is_revoked boolean, is_active boolean, words text)
      RETURNS bigint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT coalesce(array_agg(hashtextextended(term, ordinal >> 17)), '{}')
          FROM (SELECT 'owner ' || unnest(owners)
                UNION ALL SELECT 'tag ' || unnest(tags)
                UNION ALL SELECT 'scope ' || unnest(scopes)
                UNION ALL SELECT 'revoked' WHERE is_revoked
                UNION ALL SELECT 'inactive' WHERE NOT is_active
                UNION ALL SELECT substr(words, i, 3) FROM generate_series(1, length(words) - 2) AS i) AS terms (term)
      $$`);
    // A short pending list (kB): without one each changed row costs a hundred insertions, a long one every batch reads through.
    await runner.query(`
      CREATE INDEX api_key_terms_idx ON api_key
      USING gin (api_key_terms(ordinal, ARRAY[owner_id], tags, scopes, revoked_at IS NOT NULL, is_active, search_text))
      WITH (fastupdate = on, gin_pending_list_limit = 64)`);
    // Nothing is planned by how frequent terms are: ANALYZE need not make those of its sample.
    await runner.query(`ALTER INDEX api_key_terms_idx ALTER COLUMN 1 SET STATISTICS 0`);
    // Databases of earlier builds have three indexes in its place, and a finer sample for the planner to choose one by.
    for (const name of ['api_key_tags_idx', 'api_key_scopes_idx', 'api_key_search_idx']) {
      await runner.query(`DROP INDEX IF EXISTS ${name}`);
    }
    await runner.query(`ALTER TABLE api_key ALTER COLUMN search_text SET STATISTICS -1`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX api_key_terms_idx`);
    await runner.query(`DROP FUNCTION api_key_terms`);
    await runner.query(`ALTER TABLE api_key DROP COLUMN ordinal`);
  }
}
