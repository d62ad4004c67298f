import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { VerdictRecorder } from '../../../src/usage/verdict-recorder.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { HOUR_TIMEOUT_MS, withinOneHour } from '../../support/hours.js';

describe('Reading usage', () => {
  let app: TestApp;
  let admin: string;
  let ada: TestUser;
  let key: string;
  let secret: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    ada = await app.addUser(['creator']);
    const created = await app.post('/api-keys', {
      token: ada.token,
      body: { name: '=Metered', tags: ['team:a', 'team:b'], rateLimitPerMinute: 60, scopes: ['x'] },
    });
    [key, secret] = [created.body.apiKey.id, created.body.secretKey];
    await withinOneHour(app);
    await app.post('/usage', {
      token: admin,
      body: {
        events: [
          { id: '1', apiKeyId: key, requests: 2, inputTokens: 10, outputTokens: 5, costCents: 1.5, model: 'large' },
          { id: '2', apiKeyId: key, inputTokens: 1, costCents: 0.000001, model: 'small' },
          { id: '3', apiKeyId: key },
        ],
      },
    });
  }, HOUR_TIMEOUT_MS);
  afterAll(() => app.stop());

  /** Usage of the past, as the writer would have left it. */
  const past = (hour: string, costMicroCents: number, model = 'large') =>
    app.dataSource.query('INSERT INTO usage_rollup_hour VALUES ($1, $2, $3, 1, 2, 3, $4)', [
      key,
      hour,
      model,
      costMicroCents,
    ]);
  /** The first round may have begun before the last verify. */
  const flush = async () => {
    for (let round = 0; round < 2; round += 1) await app.app.get(VerdictRecorder).flush();
  };

  describe('GET /api-keys/:id/usage', () => {
    it('has what has just been reported, in totals, today and this hour', async () => {
      const { status, body } = await app.get(`/api-keys/${key}/usage`, { token: ada.token });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        apiKeyId: key,
        totalRequests: 4,
        totalTokens: 16,
        totalCostCents: 1.500001,
        requestsToday: 4,
        tokensToday: 16,
        costTodayCents: 1.500001,
        requestsThisHour: 4,
        tokensThisHour: 16,
        costThisHourCents: 1.500001,
        lastUsedAt: expect.any(String),
        rateLimits: [{ window: 'minute', limit: 60, remaining: 60, resetSeconds: 0 }],
        budget: null,
      });
    });

    it('has a window whole again within its length', async () => {
      const limits = { rateLimitPerMinute: 600, rateLimitPerHour: 6_000, rateLimitPerDay: 60_000 };
      const created = await app.post('/api-keys', { token: admin, body: limits });
      const verified = await app.post('/verify', { token: admin, body: { key: created.body.secretKey as string } });
      const { body } = await app.get(`/api-keys/${created.body.apiKey.id}/usage`, { token: admin });
      for (const { rateLimits } of [verified.body, body]) {
        const [minute, hour, day] = rateLimits.map(({ resetSeconds }: { resetSeconds: number }) => resetSeconds);
        expect(minute).toBeGreaterThan(0);
        expect([minute <= 60, hour <= 3_600, day <= 86_400]).toEqual([true, true, true]);
      }
    });

    it('counts yesterday in neither today nor this hour', async () => {
      const yesterday = new Date(Date.now() - 86_400_000);
      yesterday.setUTCMinutes(0, 0, 0);
      await past(yesterday.toISOString(), 7_000_000, 'yesterday');
      expect((await app.get(`/api-keys/${key}/usage`, { token: admin })).body).toMatchObject({
        requestsToday: 4,
        requestsThisHour: 4,
      });
    });

    it('counts accepted and refused verifies of today, dry runs not', async () => {
      const verify = (body: object) => app.post('/verify', { token: admin, body: { key: secret, ...body } });
      await verify({});
      await verify({});
      await verify({ scopes: ['missing'] });
      await verify({ dryRun: true });
      await verify({ key: `${secret.slice(0, -1)}${secret.endsWith('x') ? 'y' : 'x'}` });
      await flush();
      const { body } = await app.get(`/api-keys/${key}/usage`, { token: admin });
      expect([body.acceptedVerifiesToday, body.refusalsToday]).toEqual([2, { INSUFFICIENT_SCOPE: 1 }]);
    });

    it('knows a key as used once it was accepted, though nothing was reported', async () => {
      const { body } = await app.post('/api-keys', { token: admin });
      await app.post('/verify', { token: admin, body: { key: body.secretKey } });
      const read = () => app.get(`/api-keys/${body.apiKey.id}/usage`, { token: admin });
      await eventually(async () => expect((await read()).body.lastUsedAt).not.toBeNull());
      const usage = await read();
      expect(usage.body).toMatchObject({ totalRequests: 0, lastUsedAt: expect.any(String) });
      expect((await app.get(`/api-keys/${body.apiKey.id}`, { token: admin })).body.lastUsedAt).toBe(
        usage.body.lastUsedAt,
      );
    });

    it('lets a key read its own usage and nobody else’s', async () => {
      expect((await app.get(`/api-keys/${key}/usage`, { apiKey: secret })).status).toBe(200);
      const other = await app.post('/api-keys', { token: admin });
      expect((await app.get(`/api-keys/${key}/usage`, { apiKey: other.body.secretKey as string })).status).toBe(404);
    });

    it('answers a stranger like a key that does not exist', async () => {
      const stranger = await app.addUser(['creator']);
      const foreign = await app.get(`/api-keys/${key}/usage`, { token: stranger.token });
      const missing = await app.get('/api-keys/019a8b5e-0000-7000-8000-000000000000/usage', { token: stranger.token });
      expect([foreign.status, { ...foreign.body, requestId: '' }]).toEqual([404, { ...missing.body, requestId: '' }]);
      expect((await app.get('/api-keys/x/usage', { token: admin })).body.code).toBe('INVALID_KEY_ID');
      expect((await app.get(`/api-keys/${key}/usage`)).status).toBe(401);
    });
  });

  describe('GET /api-keys/:id/usage/series', () => {
    const series = (query: string, token = admin) => app.get(`/api-keys/${key}/usage/series?${query}`, { token });

    it('has every hour of the last day by default, this one with what was reported', async () => {
      const { body } = await series('');
      expect(body.series).toHaveLength(1);
      expect(body.series[0].points).toHaveLength(24);
      expect(body.series[0].points.at(-1)).toMatchObject({
        requests: 4,
        inputTokens: 11,
        outputTokens: 5,
        totalTokens: 16,
        costCents: 1.500001,
      });
    });

    it('has days with gaps as zeros, at the edges of UTC', async () => {
      await past('2026-02-27T23:00:00Z', 1_000_000);
      await past('2026-03-01T00:00:00Z', 2_000_000);
      const { body } = await series('interval=day&from=2026-02-27&to=2026-03-02');
      expect(
        body.series[0].points.map((point: { at: string; costCents: number }) => [
          point.at.slice(0, 10),
          point.costCents,
        ]),
      ).toEqual([
        ['2026-02-27', 1],
        ['2026-02-28', 0],
        ['2026-03-01', 2],
      ]);
      expect(body).toMatchObject({ interval: 'day', from: '2026-02-27T00:00:00.000Z', to: '2026-03-02T00:00:00.000Z' });
    });

    it('has a line a model, usage without a model as null', async () => {
      const { body } = await series('groupBy=model');
      expect(
        body.series.map(({ model, points }: { model: string; points: { requests: number }[] }) => [
          model,
          points.at(-1)!.requests,
        ]),
      ).toEqual(
        expect.arrayContaining([
          ['large', 2],
          ['small', 1],
          [null, 1],
        ]),
      );
    });

    it.each([
      'interval=minute',
      'from=x',
      'from=2026-01-01&to=2026-03-01',
      'interval=day&from=2020-01-01',
      'from=2026-03-02&to=2026-03-01',
      'groupBy=key',
      'other=1',
    ])('refuses %s', async (query) => {
      expect(await series(query)).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
    });

    it('is not for strangers', async () => {
      expect((await series('', (await app.addUser(['creator'])).token)).status).toBe(404);
    });
  });

  describe('GET /usage/summary', () => {
    const summary = (query: string, headers = {}) => app.get(`/usage/summary?${query}`, { token: admin, headers });

    it.each([
      ['day', () => [new Date().toISOString().slice(0, 10), null]],
      ['owner', () => [ada.id, expect.stringContaining('User ')]],
      ['key', () => [key, '=Metered']],
    ])('sums up by %s', async (groupBy, expected) => {
      const today = new Date().toISOString().slice(0, 10);
      const { status, body } = await summary(`groupBy=${groupBy}&from=${today}`);
      expect(status).toBe(200);
      const [group, name] = expected();
      expect(body.rows).toEqual([
        {
          ...{ group, name, requests: 4, inputTokens: 11, outputTokens: 5, totalTokens: 16 },
          ...{ costCents: 1.500001, costMicroCents: '1500001' },
        },
      ]);
      expect(body.totals).toMatchObject({ requests: 4, costCents: 1.500001 });
    });

    it('sums up by model, the dearest first', async () => {
      const { body } = await summary(`groupBy=model&from=${new Date().toISOString().slice(0, 10)}`);
      expect(body.rows.map(({ group, costCents }: { group: string; costCents: number }) => [group, costCents])).toEqual(
        [
          ['large', 1.5],
          ['small', 0.000001],
          [null, 0],
        ],
      );
    });

    it('counts a key under each of its tags, and once in the totals', async () => {
      const { body } = await summary(`groupBy=tag&from=${new Date().toISOString().slice(0, 10)}`);
      expect(
        body.rows.map(({ group, requests }: { group: string; requests: number }) => [group, requests]).sort(),
      ).toEqual([
        ['team:a', 4],
        ['team:b', 4],
      ]);
      expect(body.totals.requests).toBe(4);
    });

    it('keeps the usage of deleted keys, their owners and names', async () => {
      const doomed = (await app.post('/api-keys', { token: ada.token, body: { name: 'Doomed' } })).body.apiKey
        .id as string;
      await app.dataSource.query(`INSERT INTO usage_rollup_hour VALUES ($1, '2026-05-01T10:00:00Z', '', 9, 0, 0, 0)`, [
        doomed,
      ]);
      await app.dataSource.query('DELETE FROM api_key WHERE id = $1', [doomed]);
      const rows = async (groupBy: string) =>
        (await summary(`groupBy=${groupBy}&from=2026-05-01&to=2026-05-02`)).body.rows;
      expect(await rows('owner')).toEqual([
        expect.objectContaining({ group: ada.id, name: expect.any(String), requests: 9 }),
      ]);
      expect(await rows('key')).toEqual([expect.objectContaining({ group: doomed, name: 'Doomed', requests: 9 })]);
    });

    it.each([
      ['format=csv', {}],
      ['', { accept: 'text/csv' }],
    ])('is CSV by %j %j, with formulas disarmed and exact costs', async (query, headers) => {
      const answer = await summary(`groupBy=key&from=${new Date().toISOString().slice(0, 10)}&${query}`, headers);
      expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8');
      expect(answer.headers.get('content-disposition')).toContain('usage.csv');
      expect(answer.body).toBe(
        `"group","name","requests","inputTokens","outputTokens","totalTokens","costCents"\r\n"${key}","'=Metered",4,11,5,16,"1.500001"\r\n`,
      );
    });

    it('is JSON when JSON is asked for first, or by format', async () => {
      expect((await summary('', { accept: 'application/json, text/csv;q=0.1' })).body.groupBy).toBe('day');
      expect((await summary('format=json', { accept: 'text/csv' })).body.groupBy).toBe('day');
    });

    it.each(['/usage/summary?format=csv', '/api-keys/export'])(
      'begins with a byte order mark at %s, by which spreadsheets know UTF-8',
      async (path) => {
        const headers = { Authorization: `Bearer ${admin}` };
        const answer = await fetch(`${app.baseUrl}/api/v1${path}`, { headers });
        expect(
          Buffer.from(await answer.arrayBuffer())
            .subarray(0, 4)
            .toString('hex'),
        ).toBe('efbbbf22');
      },
    );

    it('is what the weights of Accept prefer, and says that it depends on it', async () => {
      const answer = await summary('', { accept: 'application/json;q=0.5, text/csv' });
      expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8');
      expect(answer.headers.get('vary')).toContain('Accept');
      expect((await summary('', { accept: 'text/csv;q=0.5, */*' })).body.groupBy).toBe('day');
    });

    it.each(['groupBy=colour', 'from=2020-01-01', 'format=xml', 'from=2026-02-30'])('refuses %s', async (query) => {
      expect((await summary(query)).status).toBe(400);
    });

    it('names the missing permission', async () => {
      expect((await app.get('/usage/summary', { token: ada.token })).body.permission).toBe('platform:usage:read');
      expect((await app.get('/usage/refusals', { token: ada.token })).body.permission).toBe('platform:usage:read');
      expect((await app.get('/usage/summary')).status).toBe(401);
    });
  });

  describe('GET /usage/refusals', () => {
    it('has refusals by key and code, most refused first', async () => {
      const minute = new Date(Math.floor(Date.now() / 60_000) * 60_000 - 3_600_000);
      await app.dataSource.query(
        `INSERT INTO verdict_minute VALUES ($1, $2, 'RATE_LIMITED', 5), ($1, $2, 'VALID', 50)`,
        [key, minute],
      );
      const { status, body } = await app.get(`/usage/refusals?apiKeyId=${key}`, { token: admin });
      expect(status).toBe(200);
      expect(body.counts).toMatchObject({ RATE_LIMITED: 5 });
      expect(body.counts).not.toHaveProperty('VALID');
      expect(body.refusals[0]).toEqual({
        apiKeyId: key,
        name: '=Metered',
        ownerId: ada.id,
        code: 'RATE_LIMITED',
        count: 5,
        firstAt: minute.toISOString(),
        lastAt: minute.toISOString(),
      });
    });

    it.each(['from=2026-01-01', 'apiKeyId=x', 'code=VALID'])('refuses %s', async (query) => {
      expect((await app.get(`/usage/refusals?${query}`, { token: admin })).status).toBe(400);
    });
  });
});
