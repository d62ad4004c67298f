import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: whether the identity provider has verified the e-mail address of its user.
 * Why: anybody can enter any address at many providers; who looks at a user must see whether it is theirs.
 * Lock taken: ACCESS EXCLUSIVE on users for as long as the catalog takes to write; no row is read or written.
 * Can old code run against it: yes; an address of a user that it makes is not verified until a newer token is seen.
 */
export class VerifiedAddresses1790000001700 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE users ADD COLUMN email_verified boolean`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE users DROP COLUMN email_verified`);
  }
}
