import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';

describe('POST /usage', () => {
  let app: TestApp;
  let admin: string;
  let keyId: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    keyId = (await app.post('/api-keys', { token: admin })).body.apiKey.id;
  });
  afterAll(() => app.stop());

  const report = (...events: unknown[]) => app.post('/usage', { token: admin, body: { events } });
  const newKey = async () =>
    (await app.post('/api-keys', { token: admin, body: { name: 'Metered' } })).body.apiKey.id as string;

  describe('200', () => {
    it('counts an event once it has answered', async () => {
      const id = await newKey();
      const { status, body } = await report({
        id: 'one',
        apiKeyId: id,
        requests: 2,
        inputTokens: 10,
        outputTokens: 5,
        costCents: 0.1,
        model: 'm',
      });
      expect(status).toBe(200);
      expect(body).toEqual({ accepted: 1, duplicates: 0, results: [{ id: 'one', outcome: 'accepted' }] });
      const key = await app.get(`/api-keys/${id}`, { token: admin });
      expect(key.body).toMatchObject({
        totalRequests: 2,
        totalTokens: 15,
        totalCostCents: 0.1,
        lastUsedAt: expect.any(String),
      });
    });

    it('counts the same event sent again once, whatever the order of its members', async () => {
      const id = await newKey();
      await report({ id: 'again', apiKeyId: id, costCents: 1.5, model: 'm', occurredAt: '2026-01-01T00:00:00Z' });
      const { status, body } = await report({
        occurredAt: '2026-01-01T01:00:00.000+01:00',
        model: 'm',
        requests: 1,
        costCents: 1.5,
        apiKeyId: id.toUpperCase(),
        id: 'again',
      });
      expect([status, body]).toEqual([
        200,
        { accepted: 0, duplicates: 1, results: [{ id: 'again', outcome: 'duplicate' }] },
      ]);
    });

    it('counts a cost with the noise of a computation, rounded half up to the micro-cent', async () => {
      const id = await newKey();
      const { status, body } = await report(
        { id: 'noise', apiKeyId: id, costCents: 0.1 + 0.2 },
        { id: 'half', apiKeyId: id, costCents: 0.0000005 },
        { id: 'less', apiKeyId: id, costCents: 1e-7 },
      );
      expect([status, body.accepted]).toEqual([200, 3]);
      expect((await app.get(`/api-keys/${id}`, { token: admin })).body.totalCostCents).toBe(0.300001);
    });

    it('takes null for absent', async () => {
      const event = { id: 'none', apiKeyId: await newKey() };
      const { status, body } = await report({
        ...event,
        reservationId: null,
        costCents: null,
        model: null,
        requests: null,
        occurredAt: null,
        tags: null,
      });
      expect([status, body.accepted]).toEqual([200, 1]);
      expect((await report(event)).body.duplicates).toBe(1);
    });

    it('takes no cost and a cost of 0 for the same, apart and inside one request', async () => {
      const id = await newKey();
      await report({ id: 'free', apiKeyId: id });
      const again = await report(
        { id: 'free', apiKeyId: id, costCents: 0 },
        { id: 'twin', apiKeyId: id, costCents: 0 },
        { id: 'twin', apiKeyId: id },
      );
      expect([again.status, again.body.accepted, again.body.duplicates]).toEqual([200, 1, 2]);
      expect((await report({ id: 'twin', apiKeyId: id, costCents: null })).body.duplicates).toBe(1);
    });

    it('counts twins of one request once', async () => {
      const twin = { id: 'twin', apiKeyId: await newKey(), costCents: 1 };
      const { body } = await report(twin, twin, twin);
      expect(body.results.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
        'accepted',
        'duplicate',
        'duplicate',
      ]);
    });

    it('keeps ids of different keys and callers apart', async () => {
      await app.addRole('reporter', ['platform:usage:report']);
      const other = await app.addUser(['reporter']);
      const event = { id: 'shared', apiKeyId: await newKey() };
      expect((await report(event, { ...event, apiKeyId: await newKey() })).body.accepted).toBe(2);
      expect(
        (await app.post('/usage', { token: other.token, body: { events: [{ ...event, costCents: 7 }] } })).body
          .accepted,
      ).toBe(1);
    });

    it('says which keys never existed, and books the rest', async () => {
      const { status, body } = await report(
        { id: 'a', apiKeyId: '019a8b5e-0000-7000-8000-000000000000' },
        { id: 'b', apiKeyId: keyId },
      );
      expect(status).toBe(200);
      expect(body).toMatchObject({
        accepted: 1,
        results: [
          { id: 'a', outcome: 'unknown-key' },
          { id: 'b', outcome: 'accepted' },
        ],
      });
    });

    it('takes a report of a key as caller, under its owner', async () => {
      const { secretKey } = (await app.post('/api-keys', { token: admin, body: { roles: ['gateway'] } })).body;
      const event = { id: 'by-key', apiKeyId: keyId };
      expect((await app.post('/usage', { apiKey: secretKey, body: { events: [event] } })).body.accepted).toBe(1);
      expect((await report(event)).body.duplicates).toBe(1);
    });

    it('takes a thousand events of up to a mebibyte', async () => {
      const events = Array.from({ length: 1000 }, (_, index) => ({
        id: `bulk-${index}`,
        apiKeyId: keyId,
        endpoint: 'x'.repeat(256),
        chatbot: 'y'.repeat(128),
        model: 'z'.repeat(128),
        requests: 1,
      }));
      const { status, body } = await report(...events);
      expect(JSON.stringify({ events }).length).toBeGreaterThan(500_000);
      expect([status, body.accepted]).toEqual([200, 1000]);
    });
  });

  describe('400', () => {
    it('refuses an event that costs more than MAX_EVENT_COST_CENTS by itself, with its name, and keeps its id free', async () => {
      const event = { id: 'dear', apiKeyId: await newKey(), costCents: 1_000_000.000001 };
      const { status, body } = await report({ ...event, id: 'most', costCents: 1_000_000 }, event, {
        ...event,
        id: 'none',
        costCents: 0,
      });
      const message = 'must not be greater than 1000000, what MAX_EVENT_COST_CENTS of this server allows one event';
      expect([status, body.code, body.accepted]).toEqual([400, 'VALIDATION_FAILED', 2]);
      expect(body.errors).toEqual([{ path: 'events.1.costCents', message }]);
      expect(body.results[1]).toEqual({
        id: 'dear',
        outcome: 'invalid',
        errors: [{ path: 'costCents', message }],
        code: 'MAX_EVENT_COST_CENTS',
      });
      expect((await report({ ...event, costCents: 3 })).body.accepted).toBe(1);
    });

    it('names every wrong field of every event, and books the events that are right', async () => {
      const id = await newKey();
      const { status, body } = await report(
        { id: 'fine', apiKeyId: id },
        { id: '', apiKeyId: id, requests: 0 },
        { id: 'b', apiKeyId: 'x', costCents: '1' },
        { id: 'c', apiKeyId: id, costCents: 'NaN', statusCode: 99, colour: 'red' },
        { id: 'd', costCents: -1 },
        { id: 'e', reservationId: 'forged', latencyMs: -1 },
        { id: 'f', apiKeyId: id, occurredAt: new Date(Date.now() + 6 * 60_000).toISOString() },
        { id: 'bell \u0007', apiKeyId: id, model: 'delete \u007f' },
        { apiKeyId: id, inputTokens: 1.5, costCents: 1e10 },
        null,
      );
      expect(status).toBe(400);
      expect(body.code).toBe('VALIDATION_FAILED');
      const paths = body.errors.map(({ path }: { path: string }) => path).sort();
      expect(paths).toEqual(
        [
          'events.1.id',
          'events.1.requests',
          'events.2.apiKeyId',
          'events.2.costCents',
          'events.3.colour',
          'events.3.costCents',
          'events.3.statusCode',
          'events.4.costCents',
          'events.5.latencyMs',
          'events.6.occurredAt',
          'events.7.id',
          'events.7.model',
          'events.8.costCents',
          'events.8.id',
          'events.8.inputTokens',
          'events.9',
        ].sort(),
      );
      expect(body).toMatchObject({ accepted: 1, duplicates: 0 });
      expect(body.results.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
        'accepted',
        ...Array.from({ length: 9 }, () => 'invalid'),
      ]);
      expect(body.results[2]).toEqual({
        id: 'b',
        outcome: 'invalid',
        errors: expect.arrayContaining([{ path: 'apiKeyId', message: 'must be a UUID' }]),
      });
      expect(body.results[9]).toEqual({
        id: '',
        outcome: 'invalid',
        errors: [{ path: 'event', message: 'must be an object' }],
      });
      expect((await app.get(`/api-keys/${id}`, { token: admin })).body.totalRequests).toBe(1);
    });

    it('decides the others also where one is a conflict and one is invalid', async () => {
      const id = await newKey();
      await report({ id: 'used', apiKeyId: id, costCents: 1 });
      const { status, body } = await report(
        { id: 'used', apiKeyId: id, costCents: 2 },
        { id: 'bad', apiKeyId: id, costCents: -1 },
        { id: 'new', apiKeyId: id, costCents: 4 },
      );
      expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
      expect(body.results.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
        'conflict',
        'invalid',
        'accepted',
      ]);
      expect(body.errors).toEqual([{ path: 'events.1.costCents', message: 'must be from 0 to 1000000000' }]);
      expect((await app.get(`/api-keys/${id}`, { token: admin })).body.totalCostCents).toBe(5);
    });

    it('refuses a single event that is wrong', async () => {
      const { status, body } = await report({ id: 'a', apiKeyId: keyId, model: 'gpt-4o\n' });
      expect([status, body.detail]).toEqual([
        400,
        'events.0.model: must be 1 to 128 characters without control characters',
      ]);
    });

    it.each([[undefined], [{}], [[]], [{ events: [] }], [{ events: 'x' }], [{ events: [{ id: 'a' }], more: 1 }]])(
      'refuses %j',
      async (body) => {
        expect(await app.post('/usage', { token: admin, body })).toMatchObject({
          status: 400,
          body: { code: 'VALIDATION_FAILED' },
        });
      },
    );

    it.each(['nul \u0000', 'half a pair \ud800'])('refuses text that cannot be stored: %j', async (id) => {
      const { status, body } = await report({ id, apiKeyId: keyId });
      expect([status, body.errors.map(({ path }: { path: string }) => path)]).toEqual([400, ['events.0.id']]);
    });

    it('refuses 1001 events, and says how many may be', async () => {
      const { status, body } = await report(...Array.from({ length: 1001 }, () => ({})));
      expect([status, body.errors]).toEqual([400, [{ path: 'events', message: 'must have 1 to 1000 entries' }]]);
    });

    it('accepts a clock four minutes ahead', async () => {
      expect(
        (await report({ id: 'ahead', apiKeyId: keyId, occurredAt: new Date(Date.now() + 4 * 60_000).toISOString() }))
          .status,
      ).toBe(200);
    });
  });

  describe('401', () => {
    it('comes before the body is looked at', async () => {
      expect((await app.post('/usage', { body: { events: 'x' } })).status).toBe(401);
    });
  });

  describe('403', () => {
    it('names the missing permission, before the body is looked at', async () => {
      const user = await app.addUser(['creator']);
      const { status, body } = await app.post('/usage', { token: user.token, body: { events: 'x' } });
      expect([status, body.permission]).toEqual([403, 'platform:usage:report']);
    });
  });

  describe('409', () => {
    it('is loud about an id used with other content, and books the rest', async () => {
      const id = await newKey();
      await report({ id: 'used', apiKeyId: id, costCents: 1 });
      const { status, body } = await report(
        { id: 'used', apiKeyId: id, costCents: 2 },
        { id: 'new', apiKeyId: id, costCents: 4 },
        { id: 'used', apiKeyId: id, costCents: 1 },
      );
      expect(status).toBe(409);
      expect(body).toMatchObject({
        code: 'USAGE_CONFLICT',
        accepted: 1,
        duplicates: 1,
        results: [
          { id: 'used', outcome: 'conflict' },
          { id: 'new', outcome: 'accepted' },
          { id: 'used', outcome: 'duplicate' },
        ],
      });
      expect((await app.get(`/api-keys/${id}`, { token: admin })).body.totalCostCents).toBe(5);
    });

    it('sees a conflict inside one request', async () => {
      const id = await newKey();
      const { status, body } = await report(
        { id: 'same', apiKeyId: id, model: 'a' },
        { id: 'same', apiKeyId: id, model: 'b' },
      );
      expect([status, body.results.map(({ outcome }: { outcome: string }) => outcome)]).toEqual([
        409,
        ['accepted', 'conflict'],
      ]);
    });
  });

  describe('413', () => {
    it('refuses more than a mebibyte here, and more than 64 KiB elsewhere', async () => {
      const tooLong = (bytes: number) => ({
        token: admin,
        rawBody: `{"events":"${'x'.repeat(bytes)}"}`,
        headers: { 'content-type': 'application/json' },
      });
      expect((await app.post('/usage', tooLong(1024 * 1024))).status).toBe(413);
      expect((await app.post('/usage', tooLong(900 * 1024))).status).toBe(400);
      expect((await app.post('/api-keys', tooLong(65 * 1024))).status).toBe(413);
    });
  });
});
