import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: the pairs of characters of scripts without spaces (Han, Kana, Thai, Lao, Burmese, Khmer) in the text of a key, and
 * an index of them.
 * Why: two such characters are a word, and a search for them could not be answered: the index of terms has three letters
 * at a time. Keys without such text are not in the index; for them a change costs one look at the text.
 * Lock taken: SHARE on api_key while the table is read once, some seconds for a million keys: changes of keys wait.
 * Can old code run against it: yes; it refuses such a search as before.
 */
export class ShortSearches1790000002300 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await createFunction(runner, 'api_key_pairs');
    // Without a pending list (fastupdate), which every search would have to read through.
    await runner.query(
      `CREATE INDEX api_key_pairs_idx ON api_key USING gin (api_key_pairs(search_text))
       WITH (fastupdate = off) WHERE api_key_pairs(search_text) <> '{}'`,
    );
    await runner.query(`ALTER INDEX api_key_pairs_idx ALTER COLUMN 1 SET STATISTICS 0`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX api_key_pairs_idx`);
    await runner.query(`DROP FUNCTION api_key_pairs`);
  }
}
