import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: versions of keys note their project, and there are versions of the names of projects.
 * Why: reports tell usage by project, and those of the past never change when a key moves (docs/adr/0033).
 * Lock taken: SHARE ROW EXCLUSIVE on api_key and project for an instant (triggers). No row is read: what is in projects
 * already gets its versions by the next migration. Can old code run against it: yes. The triggers note its changes. It
 * reads neither column nor table.
 */
export class ProjectsInReports1790000003100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(PROJECT_VERSION);
    for (const name of ['key_version_note_2', 'project_version_note']) await createFunction(runner, name);
    for (const statement of TRIGGERS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE OR REPLACE TRIGGER api_key_version_added AFTER INSERT ON api_key FOR EACH ROW EXECUTE FUNCTION key_version_note()`,
    );
    await runner.query(
      `CREATE OR REPLACE TRIGGER api_key_version_changed AFTER UPDATE OF owner_id, name, tags ON api_key FOR EACH ROW
       WHEN ((OLD.owner_id, OLD.name, OLD.tags) IS DISTINCT FROM (NEW.owner_id, NEW.name, NEW.tags))
       EXECUTE FUNCTION key_version_note()`,
    );
    await runner.query(`DROP TRIGGER project_version_added ON project`);
    await runner.query(`DROP TRIGGER project_version_changed ON project`);
    await runner.query(`DROP FUNCTION key_version_note_2, project_version_note`);
    await runner.query(`DROP TABLE project_version`);
  }
}

const PROJECT_VERSION = `
  CREATE TABLE project_version (
    project_id  uuid        NOT NULL,
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    name        text        NOT NULL,
    CONSTRAINT project_version_pkey PRIMARY KEY (project_id, id)
  )`;

/**
 * Replaced and not dropped: that would shut out all who read keys. The triggers of keys come first, as their locks do.
 */
const TRIGGERS: readonly string[] = [
  // Triggers run with the rights of the build before, which works on between this migration and the grants at the end.
  `DO $$ BEGIN
     IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'latchkey_app') THEN
       GRANT SELECT, INSERT ON project_version TO latchkey_app;
     END IF;
   END $$`,
  `CREATE OR REPLACE TRIGGER api_key_version_added AFTER INSERT ON api_key FOR EACH ROW EXECUTE FUNCTION key_version_note_2()`,
  `CREATE OR REPLACE TRIGGER api_key_version_changed AFTER UPDATE OF owner_id, name, tags, project_id ON api_key FOR EACH ROW
   WHEN ((OLD.owner_id, OLD.name, OLD.tags, OLD.project_id) IS DISTINCT FROM (NEW.owner_id, NEW.name, NEW.tags, NEW.project_id))
   EXECUTE FUNCTION key_version_note_2()`,
  `CREATE TRIGGER project_version_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON project_version
   FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()`,
  `CREATE TRIGGER project_version_added AFTER INSERT ON project FOR EACH ROW EXECUTE FUNCTION project_version_note()`,
  `CREATE TRIGGER project_version_changed AFTER UPDATE OF name ON project FOR EACH ROW WHEN (OLD.name <> NEW.name)
   EXECUTE FUNCTION project_version_note()`,
];
