import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: whether the identity provider has verified the e-mail address of its user.
 * Why: anybody can enter any address at many providers; who looks at a user must see whether it is theirs.
 * Lock taken: ACCESS EXCLUSIVE on users for as long as the catalog takes to write; no row is read or written.
 * Can old code run against it: yes; users that it makes have an address that is not verified until a token is seen again.
 */
export class VerifiedAddresses1790000001700 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE users ADD COLUMN email_verified boolean`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE users DROP COLUMN email_verified`);
  }
}
