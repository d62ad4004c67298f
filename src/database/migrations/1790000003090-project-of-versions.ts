import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: a column of the versions of keys for the project.
 * Why: reports tell usage by project (docs/adr/0033); the next migration writes it.
 * Lock taken: ACCESS EXCLUSIVE on key_version for as long as the catalog takes to write. It waits for statements on
 * versions that run, such as a long report, and holds nothing else meanwhile: changes of keys go on until then.
 * Can old code run against it: yes. It does not read the column.
 */
export class ProjectOfVersions1790000003090 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE key_version ADD COLUMN project_id uuid`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE key_version DROP COLUMN project_id`);
  }
}
