import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: versions of the keys and names of projects that were there before migration 3100; indexes of the keys that were
 * ever in a project, and of those in it that are not revoked. Why: reports of a project begin with its keys, and not
 * with all usage; counting and deleting read no revoked keys. Lock taken: SHARE ROW EXCLUSIVE on api_key and project
 * until the keys in projects have their versions, and SHARE on key_version while it is read for its index (seconds for
 * a million keys): changes of keys and projects wait, while keys are verified, usage is booked and everything is read.
 * Can old code run against it: yes. The triggers of 3100 note its changes, also those between the two.
 */
export class KeysOfProjects1790000003110 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const statement of [LOCK, ...VERSIONS, ...INDEXES]) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX key_version_project_idx, api_key_in_project_idx`);
  }
}

/** Held before the rows are read: else a change in between would have an earlier version than what it replaces. */
const LOCK = `LOCK TABLE api_key, project IN SHARE ROW EXCLUSIVE MODE`;

const VERSIONS: readonly string[] = [
  `INSERT INTO project_version (project_id, since, name)
   SELECT id, created_at, name FROM project p
    WHERE NOT EXISTS (SELECT FROM project_version v WHERE v.project_id = p.id) ORDER BY id`,
  // What such a key used before was booked with a version that knows no project, and stays without one.
  `INSERT INTO key_version (key_id, owner_id, name, tags, project_id)
   SELECT id, owner_id, name, tags, project_id FROM api_key k
    WHERE project_id IS NOT NULL AND project_id IS DISTINCT FROM
          (SELECT v.project_id FROM key_version v WHERE v.key_id = k.id ORDER BY v.id DESC LIMIT 1) ORDER BY id`,
];

const INDEXES: readonly string[] = [
  `CREATE INDEX key_version_project_idx ON key_version (project_id, key_id) WHERE project_id IS NOT NULL`,
  `CREATE INDEX api_key_in_project_idx ON api_key (project_id, id) WHERE project_id IS NOT NULL AND revoked_at IS NULL`,
];
