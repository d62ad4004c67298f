import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { HOUR_TIMEOUT_MS, withinOneHour } from '../../support/hours.js';
import { asOwner } from '../../support/trail.js';

type Row = { group: string | null; name: string | null; costCents: number; requests: number };

describe('Reports', () => {
  let app: TestApp;
  let admin: string;
  let alice: TestUser;
  let bob: TestUser;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    [alice, bob] = [await app.addUser(['creator']), await app.addUser(['creator'])];
  }, HOUR_TIMEOUT_MS);
  afterAll(() => app.stop());

  const newKey = async (body: object = {}, token = alice.token) =>
    (await app.post('/api-keys', { token, body })).body.apiKey.id as string;
  const report = async (apiKeyId: string, costCents: number, more: object = {}) => {
    const events = [{ id: randomUUID(), apiKeyId, costCents, ...more }];
    expect((await app.post('/usage', { token: admin, body: { events } })).body).toMatchObject({ accepted: 1 });
  };
  const transfer = async (id: string, ownerId: string) =>
    expect((await app.post(`/api-keys/${id}/transfer`, { token: admin, body: { ownerId } })).status).toBe(200);
  const change = async (id: string, body: object) =>
    expect((await app.patch(`/api-keys/${id}`, { token: admin, body })).status).toBe(200);
  const summary = async (query: string) => (await app.get(`/usage/summary?${query}`, { token: admin })).body;
  const costs = async (groupBy: string, of: readonly (string | null)[]): Promise<[string | null, number][]> =>
    ((await summary(`groupBy=${groupBy}`)).rows as Row[])
      .filter(({ group }) => of.includes(group))
      .map(({ group, costCents }) => [group, costCents]);
  /** Usage of a day of the past, as it was booked on it: with the version that the key has now. */
  const past = (keyId: string, at: string, cents: number, model = '') =>
    app.dataSource.query(
      `WITH v AS (SELECT max(id) AS id FROM key_version WHERE key_id = $1::uuid),
            e AS (INSERT INTO usage_event (received_at, key_id, caller_id, event_id, month, requests, input_tokens, output_tokens,
                                           cost_micro_cents, model, version_id)
                  SELECT $2::timestamptz, $1::uuid, $5::uuid, gen_random_uuid(), ($2::timestamptz)::date, 1, 0, 0, $3::bigint, $4::text, v.id FROM v)
       INSERT INTO usage_rollup_hour (key_id, hour, model, version_id, requests, input_tokens, output_tokens, cost_micro_cents)
       SELECT $1::uuid, date_trunc('hour', $2::timestamptz, 'UTC'), $4::text, v.id, 1, 0, 0, $3::bigint FROM v
       ON CONFLICT (key_id, hour, model) DO UPDATE SET requests = usage_rollup_hour.requests + 1,
         cost_micro_cents = usage_rollup_hour.cost_micro_cents + EXCLUDED.cost_micro_cents`,
      [keyId, at, cents * 1_000_000, model, alice.id],
    );

  describe('of keys that change', () => {
    it(
      'gives each owner what the key has spent while it was theirs, within one hour',
      async () => {
        await withinOneHour(app);
        const key = await newKey();
        await report(key, 7);
        await transfer(key, bob.id);
        await report(key, 1);
        await report(key, 0.5, { model: 'small' });
        expect(await costs('owner', [alice.id, bob.id])).toEqual([
          [alice.id, 7],
          [bob.id, 1.5],
        ]);
        await transfer(key, alice.id);
        await report(key, 2);
        expect(await costs('owner', [alice.id, bob.id])).toEqual([
          [alice.id, 9],
          [bob.id, 1.5],
        ]);
        expect(await reconcileUsage(app.dataSource)).toEqual([]);
      },
      HOUR_TIMEOUT_MS,
    );

    it('counts a key under the tags that it had', async () => {
      const key = await newKey({ tags: ['before'] });
      await report(key, 3);
      await change(key, { tags: ['after'] });
      await report(key, 4);
      expect(await costs('tag', ['before', 'after'])).toEqual([
        ['after', 4],
        ['before', 3],
      ]);
    });

    it('says the same of a day of the past after transfers, tags, names and deletions', async () => {
      const [kept, deleted] = [
        await newKey({ name: 'First', tags: ['a'] }),
        await newKey({ name: 'Second', tags: ['a', 'b'] }, bob.token),
      ];
      await past(kept, '2026-05-04T10:20:00Z', 5);
      await past(deleted, '2026-05-04T11:20:00Z', 6);
      const groups = ['day', 'owner', 'tag', 'model', 'key'];
      // By name as of the end of a range: versions of today lie behind that of May.
      const read = async () =>
        JSON.stringify(
          await Promise.all(groups.map((groupBy) => summary(`groupBy=${groupBy}&from=2026-05-01&to=2026-06-01`))),
        );
      const before = await read();
      expect(before).toContain('"First"');
      await transfer(kept, bob.id);
      await change(kept, { name: 'Renamed', tags: ['c'] });
      await report(kept, 1);
      await app.patch(`/users/${bob.id}`, { token: admin, body: { name: 'Robert' } });
      await app.dataSource.query('DELETE FROM api_key WHERE id = $1', [deleted]);
      expect(await read()).toBe(before);
      expect(await reconcileUsage(app.dataSource)).not.toContainEqual(
        expect.objectContaining({ check: expect.stringContaining('version') }),
      );
    });

    it('marks what was booked before versions were kept, and has it under what is known now', async () => {
      const key = await newKey({ name: 'Old' });
      await past(key, '2026-04-04T10:20:00Z', 5);
      await app.dataSource.query('UPDATE usage_rollup_hour SET version_id = NULL WHERE key_id = $1', [key]);
      expect((await summary('from=2026-04-01&to=2026-05-01')).assumedBefore).toBeNull();
      await asOwner(app.database, async (owner) => {
        await owner.query('ALTER TABLE key_version DISABLE TRIGGER key_version_append_only');
        await owner.query(`UPDATE key_version SET assumed_at = '2026-06-01T00:00:00Z' WHERE key_id = $1`, [key]);
        await owner.query('ALTER TABLE key_version ENABLE TRIGGER key_version_append_only');
      });
      const body = await summary('groupBy=owner&from=2026-04-01&to=2026-05-01');
      expect(body).toMatchObject({
        assumedBefore: '2026-06-01T00:00:00.000Z',
        rows: [expect.objectContaining({ group: alice.id, costCents: 5 })],
      });
      expect((await summary('from=2026-06-01&to=2026-06-02')).assumedBefore).toBeNull();
    });
  });

  describe('by the clocks of a zone', () => {
    const days = async (timeZone: string, from: string, to: string) =>
      ((await summary(`timeZone=${timeZone}&from=${from}&to=${to}`)).rows as Row[]).map(({ group, costCents }) => [
        group,
        costCents,
      ]);

    it('partitions time: neighbouring ranges count each hour once', async () => {
      const key = await newKey();
      await past(key, '2026-03-11T02:15:00Z', 5);
      const of = async (from: string, to: string) =>
        (await app.get(`/api-keys/${key}/usage/series?from=${from}&to=${to}`, { token: admin })).body.series[0].points
          .map(({ costCents }: Row) => costCents)
          .reduce((sum: number, cost: number) => sum + cost, 0) as number;
      const ends = ['2026-03-10T02:30:00Z', '2026-03-11T02:30:00Z', '2026-03-12T02:30:00Z'] as const;
      expect([await of(ends[0], ends[1]), await of(ends[1], ends[2])]).toEqual([0, 5]);
    });

    it('has days of the zone, also where the clocks change', async () => {
      const key = await newKey();
      await past(key, '2026-03-28T23:30:00Z', 1);
      await past(key, '2026-03-29T21:59:59Z', 2);
      await past(key, '2026-03-29T22:00:00Z', 4);
      expect(await days('Europe/Berlin', '2026-03-29', '2026-03-31')).toEqual([
        ['2026-03-29', 3],
        ['2026-03-30', 4],
      ]);
      const { body } = await app.get(
        `/api-keys/${key}/usage/series?interval=day&timeZone=Europe/Berlin&from=2026-03-29&to=2026-03-31`,
        { token: admin },
      );
      expect(body).toMatchObject({ timeZone: 'Europe/Berlin', from: '2026-03-28T23:00:00.000Z' });
      expect(
        body.series[0].points.map(({ at, costCents }: { at: string; costCents: number }) => [at, costCents]),
      ).toEqual([
        ['2026-03-28T23:00:00.000Z', 3],
        ['2026-03-29T22:00:00.000Z', 4],
      ]);
    });

    it('has days of a zone that is half an hour off, for each group', async () => {
      const key = await newKey();
      await past(key, '2026-02-10T18:29:59Z', 1);
      await past(key, '2026-02-10T18:30:00Z', 2);
      await past(key, '2026-02-11T18:29:59Z', 4);
      expect(await days('Asia/Kolkata', '2026-02-10', '2026-02-13')).toEqual([
        ['2026-02-10', 1],
        ['2026-02-11', 6],
      ]);
      const { rows, totals } = await summary('groupBy=owner&timeZone=Asia/Kolkata&from=2026-02-11&to=2026-02-12');
      expect(rows).toEqual([expect.objectContaining({ group: alice.id, costCents: 6 })]);
      expect(totals.costCents).toBe(6);
    });

    it.each(['/usage/summary', '/api-keys/:key/usage/series'])(
      'refuses an unknown zone by its name at %s',
      async (path) => {
        const { status, body } = await app.get(`${path.replace(':key', await newKey())}?timeZone=Mars/Olympus`, {
          token: admin,
        });
        expect([status, body.errors]).toEqual([
          400,
          [{ path: 'timeZone', message: expect.stringContaining('not "Mars/Olympus"') }],
        ]);
      },
    );
  });

  describe('by what is reported of calls', () => {
    it('sums up by tags of calls, chatbot, endpoint and status', async () => {
      const key = await newKey({ tags: ['of-key'] });
      await report(key, 1, { tags: ['x', 'y', 'x'], chatbot: 'bot-1', endpoint: '/chat', statusCode: 200 });
      await report(key, 2, { tags: ['y'], chatbot: 'bot-1', endpoint: '/embed', statusCode: 429 });
      expect(await costs('callTag', ['x', 'y', 'of-key'])).toEqual([
        ['y', 3],
        ['x', 1],
      ]);
      expect(await costs('chatbot', ['bot-1'])).toEqual([['bot-1', 3]]);
      expect(await costs('endpoint', ['/chat', '/embed'])).toEqual([
        ['/embed', 2],
        ['/chat', 1],
      ]);
      expect(await costs('status', ['200', '429'])).toEqual([
        ['429', 2],
        ['200', 1],
      ]);
    });

    it('takes the same tags in another order for the same event, and other tags for a conflict', async () => {
      const event = { id: randomUUID(), apiKeyId: await newKey(), costCents: 1 };
      const send = async (more: object) =>
        (await app.post('/usage', { token: admin, body: { events: [{ ...event, ...more }] } })).body.results[0].outcome;
      expect(await send({ tags: ['b', 'a'] })).toBe('accepted');
      expect(await send({ tags: ['a', 'b', 'a'] })).toBe('duplicate');
      expect(await send({ tags: ['a'] })).toBe('conflict');
      expect(await send({})).toBe('conflict');
    });

    it('refuses more than 8 tags, and names a wrong one by its place', async () => {
      const apiKeyId = await newKey();
      const errorsOf = async (tags: unknown) =>
        (await app.post('/usage', { token: admin, body: { events: [{ id: 'wrong', apiKeyId, tags }] } })).body.errors;
      expect(await errorsOf(Array.from({ length: 9 }, (_, n) => `t${n}`))).toEqual([
        expect.objectContaining({ path: 'events.0.tags' }),
      ]);
      expect(await errorsOf(['fine', 'not fine', 7])).toEqual([
        expect.objectContaining({ path: 'events.0.tags.1' }),
        expect.objectContaining({ path: 'events.0.tags.2' }),
      ]);
    });

    it('reads at most 35 days of single events', async () => {
      const { status, body } = await app.get('/usage/summary?groupBy=endpoint&from=2026-01-01&to=2026-03-01', {
        token: admin,
      });
      expect([status, body.errors[0].message]).toEqual([400, 'must not be more than 35 days before to']);
    });
  });

  describe('of very large sums', () => {
    it('has the cost to the last digit, and counts up to where numbers are exact', async () => {
      const key = await newKey();
      await app.dataSource.query(
        `INSERT INTO usage_rollup_hour (key_id, hour, model, requests, input_tokens, output_tokens, cost_micro_cents)
         VALUES ($1, '2025-05-01T10:00:00Z', '', 1, 9007199254740993, 1, 9007199254740993)`,
        [key],
      );
      const { totals, rows } = await summary('groupBy=key&from=2025-05-01&to=2025-05-02');
      for (const sums of [totals, rows[0]]) {
        expect(sums).toMatchObject({ costMicroCents: '9007199254740993', inputTokens: Number.MAX_SAFE_INTEGER });
      }
      const { body } = await app.get('/usage/summary?format=csv&from=2025-05-01&to=2025-05-02', { token: admin });
      expect(body).toContain('9007199254740993,1,9007199254740994,"9007199254.740993"');
    });
  });
});
