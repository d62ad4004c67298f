import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: the tokens that a call of a key holds where its caller reserves none.
 * Why: a limit of tokens bounds what is reserved. Callers that do not know how many tokens a call takes reserve none, and
 * their calls pass while anything is left (docs/adr/0061).
 * Lock taken: ACCESS EXCLUSIVE on api_key while its rows are read once for the check; none is written.
 * Can old code run against it: yes. It neither writes nor reads the column: calls that it admits hold what they ask for.
 */
export class DefaultReserveTokens1790000004600 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE api_key
        ADD COLUMN default_reserve_tokens integer,
        ADD CONSTRAINT api_key_default_reserve_tokens_check CHECK (default_reserve_tokens BETWEEN 1 AND 1000000000)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_key DROP COLUMN default_reserve_tokens`);
  }
}
