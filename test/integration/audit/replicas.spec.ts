import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { Changes } from '../../../src/audit/changes.js';
import { systemCaller } from '../../../src/access/caller.js';
import { ChainVerifier } from '../../../src/audit/chain-verifier.js';
import { type Answer, TestApp } from '../../support/app.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';
import { trailRows } from '../../support/trail.js';

const REPLICAS = 3;
const CHANGES = 60;

describe('Three replicas that change, read and refuse at once', () => {
  let database: TestDatabase;
  let replicas: TestApp[];

  beforeAll(async () => {
    database = await createTestDatabase();
    replicas = [];
    for (let n = 0; n < REPLICAS; n += 1) replicas.push(await TestApp.start({ MAX_ACTIVE_KEYS: '1000' }, database));
  });
  afterAll(async () => {
    for (const replica of replicas) await replica.stop();
    await database.drop();
  });

  it('leave one whole chain without gaps, with exactly one entry of every change', async () => {
    const admin = await replicas[0]!.adminToken();
    const user = await replicas[0]!.addUser(['user']);
    // Owners of their own: keys of one owner are made one after the other.
    const creators = await Promise.all(Array.from({ length: 6 }, () => replicas[0]!.addUser(['creator'])));
    const change = async (n: number) => {
      const replica = replicas[n % REPLICAS]!;
      const created = await replica.post('/api-keys', {
        token: creators[n % creators.length]!.token,
        body: { name: `Key ${n}` },
      });
      await replica.get(`/api-keys/${created.body.apiKey?.id}`, { token: admin });
      if (n % 10 === 0) await replica.post('/api-keys', { token: user.token });
      return created;
    };
    // Few enough at once that none waits 2 s for its turn on a busy machine.
    const answers: Answer[] = [];
    for (let n = 0; n < CHANGES; n += 12)
      answers.push(...(await Promise.all(Array.from({ length: 12 }, (_, m) => change(n + m)))));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
    for (const replica of replicas)
      await replica.app
        .get(Changes)
        .transaction(systemCaller('test:end'), async ({ record }) =>
          record({ resourceType: 'test', resourceId: null }),
        );

    const rows = await trailRows(replicas[0]!, `NOT (body::jsonb ? 'chain')`);
    const reads = await trailRows(replicas[0]!, `body::jsonb ? 'chain'`);
    expect(reads.map(({ seq }) => Number(seq))).toEqual(reads.map((_, index) => index + 1));
    expect(reads.length).toBeGreaterThan(0);
    expect(rows.map(({ seq }) => Number(seq))).toEqual(rows.map((_, index) => index + 1));
    const created = rows
      .filter(({ action, outcome }) => action === 'api-keys:create' && outcome === 'success')
      .map(({ resource_id }) => resource_id);
    expect([...created].sort()).toEqual(answers.map(({ body }) => body.apiKey.id as string).sort());
    const refused = rows.filter(({ action, outcome }) => action === 'api-keys:create' && outcome === 'refused');
    expect(refused).toHaveLength(CHANGES / 10);
    expect(await replicas[1]!.app.get(ChainVerifier).verify()).toMatchObject({ ok: true, firstBroken: null });
  });

  it('show their entries in the order of seq: a reader who sees one sees all before it', async () => {
    const client = new Client({ connectionString: database.appUrl });
    await client.connect();
    let writing = true;
    const writers = replicas.map(async ({ app }, replica) => {
      for (let n = 0; n < 40; n += 1) {
        await app.get(Changes).transaction(systemCaller('test:write'), async ({ record }) => {
          record({ resourceType: 'test', resourceId: `${replica}-${n}` });
          if (n % 3 === 0) record({ resourceType: 'test', resourceId: `${replica}-${n}-twin` });
        });
      }
    });
    const done = Promise.all(writers).finally(() => (writing = false));
    let observations = 0;
    while (writing) {
      const { rows } = await client.query(
        'SELECT count(*) AS count, max(seq) AS seq, (SELECT seq FROM change_head) AS head FROM audit_event',
      );
      expect(rows[0].count).toBe(rows[0].seq);
      expect(rows[0].head).toBe(rows[0].seq);
      observations += 1;
    }
    await done;
    await client.end();
    expect(observations).toBeGreaterThan(10);
  });
});
