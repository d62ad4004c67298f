import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: projects, and the project of a key.
 * Why: keys of several owners belong together, and are to be listed, counted and later limited together.
 * Lock taken: ACCESS EXCLUSIVE on api_key for an instant (a column without a default), then SHARE while the table is read
 * once for an index that holds no key yet.
 * Can old code run against it: yes. It makes keys without a project, and leaves the project of a key as it is.
 */
export class Projects1790000002800 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE project (
        id          uuid        NOT NULL,
        name        text        NOT NULL,
        description text        NOT NULL DEFAULT '',
        created_at  timestamptz NOT NULL DEFAULT now(),
        updated_at  timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT project_pkey PRIMARY KEY (id),
        CONSTRAINT project_name_check CHECK (name <> '')
      )`);
    await runner.query(`CREATE UNIQUE INDEX project_name_key ON project (lower(name))`);
    // No foreign key: a revoked key keeps the id of a project that was deleted, as usage keeps that of a key.
    await runner.query(`ALTER TABLE api_key ADD COLUMN project_id uuid`);
    await runner.query(
      `CREATE INDEX api_key_project_idx ON api_key (project_id, created_at, id) WHERE project_id IS NOT NULL`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_key DROP COLUMN project_id`);
    await runner.query(`DROP TABLE project`);
    // No migration calls it: it is made after them, from its file.
    await runner.query(`DROP FUNCTION IF EXISTS limit_period_at`);
  }
}
