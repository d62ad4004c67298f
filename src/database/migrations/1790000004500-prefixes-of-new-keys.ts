import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: the trigger of new secrets leaves a key alone that has the prefix of its only secret already.
 * Why: a key is inserted with it now. To write the row a second time took a fifth of the statements of a create, because
 * every index of keys gets another entry.
 * Lock taken: SHARE ROW EXCLUSIVE on api_key_secret for as long as the catalog takes to write: secrets are not added
 * meanwhile, and are read.
 * Can old code run against it: yes. It inserts a key without a prefix, which the trigger writes then, as before.
 */
export class PrefixesOfNewKeys1790000004500 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await createFunction(runner, 'api_key_note_prefix_2');
    await runner.query(triggerWith('api_key_note_prefix_2'));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(triggerWith('api_key_note_prefix'));
    await runner.query(`DROP FUNCTION api_key_note_prefix_2`);
  }
}

function triggerWith(name: string): string {
  return `CREATE OR REPLACE TRIGGER api_key_secret_note_prefix AFTER INSERT ON api_key_secret
          FOR EACH ROW EXECUTE FUNCTION ${name}()`;
}
