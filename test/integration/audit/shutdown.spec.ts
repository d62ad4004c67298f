import { describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { createTestDatabase } from '../../support/postgres.js';
import { asOwner, trailRows } from '../../support/trail.js';

const UNKNOWN = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';

describe('The trail, at the end of a process', () => {
  it('tells the first 20 refusals of a kind singly and the rest by one count', async () => {
    const database = await createTestDatabase();
    const flooded = await TestApp.start({}, database);
    const eve = await flooded.addUser(['user']);
    const bob = await flooded.addUser(['user']);
    const answers = await Promise.all(
      Array.from({ length: 75 }, () => flooded.get(`/api-keys/${UNKNOWN}`, { token: eve.token })),
    );
    await flooded.get('/audit-events', { token: eve.token });
    await flooded.get(`/api-keys/${UNKNOWN}`, { token: bob.token });
    expect(answers.every(({ status }) => status === 404)).toBe(true);
    const refused = `outcome = 'refused' AND action = 'api-keys:read' AND actor_id = $1`;
    expect(await trailRows(flooded, refused, [eve.id])).toHaveLength(20);
    await flooded.stop();

    await asOwner(database, async (client) => {
      const { rows } = await client.query(`SELECT * FROM audit_event WHERE ${refused} ORDER BY seq`, [eve.id]);
      expect(rows).toHaveLength(21);
      expect(rows[20]).toMatchObject({
        actor_id: eve.id,
        resource_id: null,
        details: { code: 'API_KEY_NOT_FOUND', count: 55 },
      });
      const others = await client.query(
        `SELECT actor_id, action FROM audit_event WHERE outcome = 'refused' AND NOT (${refused}) ORDER BY seq`,
        [eve.id],
      );
      expect(others.rows).toEqual([
        { actor_id: eve.id, action: 'audit:read' },
        { actor_id: bob.id, action: 'api-keys:read' },
      ]);
    });
    await database.drop();
  });

  it('has what was read just before a shutdown', async () => {
    const database = await createTestDatabase();
    const stopping = await TestApp.start({}, database);
    const token = await stopping.adminToken();
    const key = await stopping.post('/api-keys', { token });
    const reads = await Promise.all(
      Array.from({ length: 40 }, () => stopping.get(`/api-keys/${key.body.apiKey.id}`, { token })),
    );
    await stopping.stop();
    await asOwner(database, async (client) => {
      const { rows } = await client.query<{ count: number }>(
        `SELECT coalesce((details->>'count')::int, 1) AS count FROM audit_read WHERE action = 'api-keys:read' ORDER BY seq`,
      );
      // They are equal: the first, and a count of the others, whose minute the shutdown ends.
      expect(rows.map(({ count }) => count)).toEqual([1, reads.length - 1]);
    });
    await database.drop();
  });
});
