import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import type { DataSource, MigrationInterface, QueryRunner } from 'typeorm';
import { dataSource } from '../../../src/database/data-source.js';
import { ProjectOfVersions1790000003090 } from '../../../src/database/migrations/1790000003090-project-of-versions.js';
import { ProjectsInReports1790000003100 } from '../../../src/database/migrations/1790000003100-projects-in-reports.js';
import { KeysOfProjects1790000003110 } from '../../../src/database/migrations/1790000003110-keys-of-projects.js';
import { TestApp } from '../../support/app.js';
import { makeKey } from '../../support/made-keys.js';

describe('The migrations that give keys in projects their versions', () => {
  let app: TestApp;
  let owner: DataSource;
  const projects: string[] = [];
  const keys: string[] = [];

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    const token = await app.adminToken();
    owner = await dataSource(app.database.ownerUrl, { max: 2 }).initialize();
    for (const name of ['One', 'Other'])
      projects.push((await app.post('/projects', { token, body: { name } })).body.id);
    for (const projectId of [projects[0], projects[0], undefined])
      keys.push((await makeKey(app, token, projectId === undefined ? {} : { projectId })).id);
    const runner = owner.createQueryRunner();
    await new KeysOfProjects1790000003110().down(runner);
    await new ProjectsInReports1790000003100().down(runner);
    await new ProjectOfVersions1790000003090().down(runner);
    await runner.release();
  });
  afterAll(async () => {
    await owner.destroy();
    await app.stop();
  });

  /** The strongest locks that one migration holds when it is through. */
  const locksOf = async (migration: MigrationInterface): Promise<string[]> => {
    const runner: QueryRunner = owner.createQueryRunner();
    await runner.startTransaction();
    await migration.up(runner);
    const rows = (await runner.query(
      `SELECT l.relation::regclass || ' ' || l.mode AS lock FROM pg_locks l
        WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
          AND l.relation::regclass::text IN ('api_key', 'key_version', 'project')`,
    )) as { lock: string }[];
    await runner.commitTransaction();
    await runner.release();
    return rows.map(({ lock }) => lock).sort();
  };
  const versions = () => owner.query(`SELECT project_id FROM key_version WHERE key_id = ANY($1) ORDER BY id`, [keys]);
  const projectIds = async () => (await versions()).map((row: { project_id: string | null }) => row.project_id);

  it('shut nobody out who reads keys, and hold nothing else while they wait for readers of versions', async () => {
    expect(await locksOf(new ProjectOfVersions1790000003090())).toEqual(['key_version AccessExclusiveLock']);
    expect(await locksOf(new ProjectsInReports1790000003100())).toEqual([]);
    expect(await projectIds()).toEqual([null, null, null]);
    // What changes between the two is noted by the triggers, and not once more.
    await owner.query('UPDATE api_key SET project_id = $2 WHERE id = $1', [keys[1], projects[1]]);
    expect(await locksOf(new KeysOfProjects1790000003110())).toEqual([]);
    expect(await projectIds()).toEqual([null, null, null, projects[1], projects[0]]);
    expect(await owner.query('SELECT name FROM project_version ORDER BY name')).toEqual([
      { name: 'One' },
      { name: 'Other' },
    ]);
  });

  it('leave triggers that note the projects of keys from then on', async () => {
    await owner.query('UPDATE api_key SET project_id = $2 WHERE id = $1', [keys[2], projects[0]]);
    expect((await projectIds()).at(-1)).toBe(projects[0]);
    await owner.query('UPDATE project SET name = $2 WHERE id = $1', [projects[0], `Renamed ${randomUUID()}`]);
    expect(await owner.query('SELECT FROM project_version WHERE project_id = $1', [projects[0]])).toHaveLength(2);
  });
});
