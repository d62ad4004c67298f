import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { TestApp } from '../../support/app.js';

const STATEMENTS = ['audit_event', 'audit_checkpoint'].flatMap((table) => [
  `UPDATE ${table} SET hash = hash`,
  `DELETE FROM ${table}`,
  `TRUNCATE ${table}`,
]);

/** Reads are removed by cuts, which reads.spec.ts is about. */
const READS = ['audit_read', 'audit_read_checkpoint'].flatMap((table) => [
  `UPDATE ${table} SET seq = seq`,
  `TRUNCATE ${table}`,
]);

describe('The audit tables', () => {
  let app: TestApp;
  const clients: Client[] = [];

  const connect = async (connectionString: string) => {
    const client = new Client({ connectionString });
    await client.connect();
    clients.push(client);
    return client;
  };

  beforeAll(async () => {
    app = await TestApp.start();
    await app.adminToken();
  });
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.end()));
    await app.stop();
  });

  it.each([...STATEMENTS, ...READS])('refuse the application %s by its rights', async (sql) => {
    const client = await connect(app.database.appUrl);
    await expect(client.query(sql)).rejects.toMatchObject({
      code: '42501',
      message: expect.stringContaining('permission denied'),
    });
  });

  it.each([...STATEMENTS, ...READS])('refuse their owner %s by a trigger', async (sql) => {
    const client = await connect(app.database.ownerUrl);
    await expect(client.query(sql)).rejects.toMatchObject({
      code: '42501',
      message: expect.stringContaining('is append-only'),
    });
  });

  it('refuse their owner also in a session that replays a replication', async () => {
    const client = await connect(app.database.ownerUrl);
    await client.query(`SET session_replication_role = replica`);
    await expect(client.query('DELETE FROM audit_event')).rejects.toMatchObject({
      message: 'audit_event is append-only beyond its last sealed segment',
    });
  });

  it.each([
    'ALTER TABLE audit_event DISABLE TRIGGER ALL',
    'DROP TABLE audit_event',
    'DROP FUNCTION audit_refuse_change() CASCADE',
    'SET session_replication_role = replica',
    'DELETE FROM change_head',
    'INSERT INTO change_head (id) VALUES (false)',
    'ALTER TABLE audit_read DISABLE TRIGGER ALL',
    'DROP FUNCTION audit_read_refuse_delete() CASCADE',
    'DELETE FROM audit_read_head',
  ])('cannot be opened by the application: %s', async (sql) => {
    const client = await connect(app.database.appUrl);
    await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' });
  });

  it('give the application what it needs', async () => {
    const client = await connect(app.database.appUrl);
    const { rows } = await client.query(
      `SELECT privilege_type FROM information_schema.role_table_grants
        WHERE grantee = 'latchkey_app' AND table_name = 'audit_event' ORDER BY 1`,
    );
    expect(rows.map((row) => row.privilege_type)).toEqual(['INSERT', 'SELECT']);
  });
});
