import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { asOwner } from '../../support/trail.js';

describe('GET /usage/events', () => {
  let app: TestApp;
  let admin: string;
  let ada: TestUser;
  let key: string;
  let secret: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    ada = await app.addUser(['creator']);
    const created = await app.post('/api-keys', { token: ada.token, body: { budgetLimitCents: 100 } });
    [key, secret] = [created.body.apiKey.id, created.body.secretKey];
  });
  afterAll(() => app.stop());

  const report = async (...events: object[]) =>
    expect((await app.post('/usage', { token: admin, body: { events } })).body.accepted).toBe(events.length);
  const events = async (query: Record<string, string>, token = admin) =>
    app.get(`/usage/events?${new URLSearchParams(query).toString()}`, { token });
  const idsOf = async (query: Record<string, string>) =>
    (await events(query)).body.data.map(({ id }: { id: string }) => id) as string[];

  it('has what was reported of one call', async () => {
    await report({
      ...{ id: 'req-1', apiKeyId: key, requests: 2, inputTokens: 10, outputTokens: 5, costCents: 1.25, model: 'large' },
      ...{ chatbot: 'bot', endpoint: '/chat', statusCode: 200, latencyMs: 12.5, occurredAt: '2026-01-02T03:04:05Z' },
      subject: 'user-1',
      tags: ['b', 'a'],
    });
    const { status, body } = await events({ keyId: key, requestId: 'req-1' });
    expect([status, body]).toEqual([
      200,
      {
        data: [
          {
            ...{ id: 'req-1', apiKeyId: key, ownerId: ada.id, callerId: expect.any(String) },
            ...{ receivedAt: expect.any(String), occurredAt: '2026-01-02T03:04:05.000Z' },
            ...{ requests: 2, inputTokens: 10, outputTokens: 5, totalTokens: 15, costCents: 1.25, excessCents: 0 },
            ...{ settledReservation: false, isLate: false, model: 'large', chatbot: 'bot', endpoint: '/chat' },
            ...{ statusCode: 200, latencyMs: 12.5, subject: 'user-1', tags: ['a', 'b'] },
          },
        ],
        nextCursor: null,
        archivedBefore: null,
      },
    ]);
    expect(await idsOf({ keyId: key, requestId: 'req-2' })).toEqual([]);
  });

  it('keeps a tag whose name means something to the database', async () => {
    await report({ id: 'odd-tags', apiKeyId: key, tags: ['null', 'feature:x', 'NULL'] });
    const { body } = await events({ keyId: key, requestId: 'odd-tags' });
    expect([...body.data[0].tags].sort()).toEqual(['NULL', 'feature:x', 'null']);
  });

  it('finds the event that settled a reservation of the key', async () => {
    const { body } = await app.post('/verify', { token: admin, body: { key: secret, reserveCents: 2 } });
    const reservationId = body.reservation.id as string;
    expect(await idsOf({ keyId: key, reservationId })).toEqual([]);
    await report({ id: 'settles', reservationId, costCents: 3 });
    const { body: found } = await events({ keyId: key, reservationId });
    expect(found.data).toEqual([
      expect.objectContaining({ id: 'settles', apiKeyId: key, costCents: 3, excessCents: 1, settledReservation: true }),
    ]);
    const dropped = await app.post('/verify', { token: admin, body: { key: secret, reserveCents: 1 } });
    const release = { reservationId: dropped.body.reservation.id as string };
    expect((await app.post('/reservations/release', { token: admin, body: release })).status).toBe(200);
    expect(await idsOf({ keyId: key, ...release })).toEqual([]);
  });

  it('pages through events that share their instant, each once, newest first', async () => {
    const paged = (await app.post('/api-keys', { token: admin })).body.apiKey.id as string;
    const ids = Array.from({ length: 25 }, (_, n) => `e-${n}`);
    await report(...ids.map((id) => ({ id, apiKeyId: paged })));
    await report({ id: 'newest', apiKeyId: paged });
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const { body } = await events({ keyId: paged, limit: '10', ...(cursor === '' ? {} : { cursor }) });
      seen.push(...body.data.map(({ id }: { id: string }) => id));
      cursor = body.nextCursor;
    }
    expect(seen[0]).toBe('newest');
    expect([...seen].sort()).toEqual([...ids, 'newest'].sort());
    expect(await idsOf({ keyId: paged, to: '2026-01-01' })).toEqual([]);
    expect((await idsOf({ keyId: paged, from: '2026-01-01', limit: '200' })).length).toBe(26);
  });

  it('is for the owner of the key, for itself, and for who reads all usage, of deleted keys too', async () => {
    const stranger = await app.addUser(['creator']);
    const statusOf = async (token: string) => (await events({ keyId: key }, token)).status;
    expect([await statusOf(ada.token), await statusOf(stranger.token)]).toEqual([200, 404]);
    expect((await app.get(`/usage/events?keyId=${key}`, { apiKey: secret })).status).toBe(200);
    expect((await app.get(`/usage/events?keyId=${key}`)).status).toBe(401);
    const gone = (await app.post('/api-keys', { token: ada.token, body: { name: 'Gone' } })).body.apiKey.id as string;
    await report({ id: 'last', apiKeyId: gone });
    await asOwner(app.database, (owner) => owner.query('DELETE FROM api_key WHERE id = $1', [gone]));
    expect(await idsOf({ keyId: gone })).toEqual(['last']);
    expect((await events({ keyId: gone }, ada.token)).status).toBe(404);
  });

  it.each([
    ['no key', { requestId: 'req-1' }, 'keyId'],
    [
      'a reservation that was not made here',
      { keyId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', reservationId: 'x'.repeat(120) },
      'reservationId',
    ],
    ['another cursor', { keyId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', cursor: 'MTIz' }, 'cursor'],
    ['a limit of 0', { keyId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', limit: '0' }, 'limit'],
    ['no instant', { keyId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', from: 'x' }, 'from'],
  ])('refuses %s', async (_, query, path) => {
    expect(await events(query)).toMatchObject({ status: 400, body: { errors: [expect.objectContaining({ path })] } });
  });
});
