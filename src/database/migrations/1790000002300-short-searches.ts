import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/** Two characters of scripts without spaces, as PostgreSQL reads them. @see src/api-keys/lists/search-text.ts */
const PAIR =
  String.raw`[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u3005-\u3007\u3040-\u30FF\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\U00020000-\U0003FFFF]{2}`;

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
    // Without a pending list (fastupdate), which every search would have to read through. The condition is an operator and
    // no function, since it is what every change of every key pays for.
    await runner.query(
      `CREATE INDEX api_key_pairs_idx ON api_key USING gin (api_key_pairs(search_text))
       WITH (fastupdate = off) WHERE search_text ~ '${PAIR}'`,
    );
    await runner.query(`ALTER INDEX api_key_pairs_idx ALTER COLUMN 1 SET STATISTICS 0`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX api_key_pairs_idx`);
    await runner.query(`DROP FUNCTION api_key_pairs`);
  }
}
