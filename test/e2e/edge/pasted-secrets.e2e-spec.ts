import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { TestApp } from '../../support/app.js';
import { makeKey, pathsOf, type TestKey } from '../../support/made-keys.js';
import { asOwner } from '../../support/trail.js';

/** Requests whose text is kept, with the place that a refusal names. */
type Request = readonly [
  path: string,
  method: string,
  url: (key: TestKey) => string,
  body: (text: string, key: TestKey) => object,
];

const REQUESTS: readonly Request[] = [
  ['name', 'POST', () => '/api-keys', (name) => ({ name })],
  ['description', 'POST', () => '/api-keys', (description) => ({ description })],
  ['tags.1', 'POST', () => '/api-keys', (tag) => ({ tags: ['a', tag] })],
  ['scopes.0', 'POST', () => '/api-keys', (scope) => ({ scopes: [scope] })],
  ['allowedModels.0', 'POST', () => '/api-keys', (model) => ({ allowedModels: [model] })],
  ['allowedChatbots.0', 'POST', () => '/api-keys', (chatbot) => ({ allowedChatbots: [chatbot] })],
  ['alias', 'POST', () => '/api-keys', (alias) => ({ alias })],
  ['metadata.note', 'PATCH', ({ id }) => `/api-keys/${id}`, (note) => ({ metadata: { note } })],
  ['metadata', 'PATCH', ({ id }) => `/api-keys/${id}`, (text) => ({ metadata: { [text]: '' } })],
  ['description', 'PUT', ({ id }) => `/api-keys/${id}`, (description) => ({ description })],
  ['description', 'PUT', () => '/api-keys/by-alias/nightly', (description) => ({ name: 'x', description })],
  ['reason', 'POST', ({ id }) => `/api-keys/${id}/revoke`, (reason) => ({ reason })],
  ['reason', 'POST', () => '/api-keys/bulk', (reason, { id }) => ({ ids: [id], action: 'revoke', reason })],
  ['add.0', 'POST', () => '/api-keys/bulk', (tag, { id }) => ({ ids: [id], action: 'tag', add: [tag] })],
  ['name', 'POST', () => '/users', (name) => ({ name, email: 'pasted@latchkey.test' })],
  ['email', 'POST', () => '/users', (text) => ({ name: 'x', email: text })],
  ['description', 'POST', () => '/roles', (description) => ({ name: 'pasted', description })],
  ['description', 'PATCH', () => '/roles/creator', (description) => ({ description })],
  ['keyPolicy.models.0', 'POST', () => '/roles', (model) => ({ name: 'pasted', keyPolicy: { models: [model] } })],
];

describe('A secret made here that is pasted into text', () => {
  let app: TestApp;
  let admin: string;
  let key: TestKey;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    key = await makeKey(app, admin);
  });
  afterAll(() => app.stop());

  /** Whether a text is anywhere in the database. */
  const isKept = (text: string) =>
    asOwner(app.database, async (client) => {
      const { rows: tables } = await client.query<{ name: string }>(
        `SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'`,
      );
      const kept: string[] = [];
      for (const { name } of tables) {
        const { rowCount } = await client.query(`SELECT 1 FROM ${name} t WHERE position($1 in t::text) > 0 LIMIT 1`, [
          text,
        ]);
        if (rowCount !== 0) kept.push(name);
      }
      return kept;
    });

  describe.each([
    ['alone', (secret: string) => secret],
    ['in a header that was copied', (secret: string) => `Authorization: Bearer ${secret}`],
    ['between other letters', (secret: string) => `see${secret}or`],
  ])('%s', (_, around) => {
    it.each(REQUESTS)('is refused in %s of %s', async (path, method, url, body) => {
      const answer = await app.request(method, url(key), { token: admin, body: body(around(key.secret), key) });
      expect([answer.status, answer.body.code, pathsOf(answer)]).toEqual([400, 'VALIDATION_FAILED', [path]]);
      expect(answer.body.detail).toContain('API key');
      expect(JSON.stringify(answer.body)).not.toContain(key.secret.slice(-40));
    });
  });

  it('is refused in the entry of an import that shows it, and in no other', async () => {
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
    const keys = [
      { sha256: sha256('a'), prefix: 'sk-a', description: key.secret },
      { sha256: sha256('b'), prefix: 'sk-b' },
    ];
    const { body } = await app.post('/api-keys/import', { token: admin, body: { keys } });
    expect(body.results.map(({ outcome }: { outcome: string }) => outcome)).toEqual(['refused', 'created']);
    expect(body.results[0].errors).toEqual([
      { path: 'description', message: expect.stringContaining('must not contain an API key') },
    ]);
  });

  it('is refused in the event of a report that shows it, and in no other', async () => {
    const events = [
      { id: 'shown', apiKeyId: key.id, endpoint: `/v1?key=${key.secret}` },
      { id: 'fine', apiKeyId: key.id },
    ];
    const { status, body } = await app.post('/usage', { token: admin, body: { events } });
    expect([status, pathsOf({ body } as never)]).toEqual([400, ['events.0.endpoint']]);
    expect(body.results).toMatchObject([{ outcome: 'invalid' }, { outcome: 'accepted' }]);
  });

  it('is nowhere afterwards, and no answer is kept for a retry', async () => {
    const body = { description: key.secret };
    expect((await app.post('/api-keys', { token: admin, headers: { 'idempotency-key': 'pasted' }, body })).status).toBe(
      400,
    );
    expect(await app.dataSource.query(`SELECT 1 FROM idempotency`)).toEqual([]);
    await app.applied();
    expect(await isKept(key.secret.slice(-60))).toEqual([]);
  });

  it('tells a stranger nothing: signing in with one is refused as any other text is', async () => {
    const login = (text: string) =>
      app.post('/auth/login', { body: { email: 'person@latchkey.test', password: text } });
    const [real, madeUp] = [
      await login(key.secret),
      await login(`${key.secret.slice(0, -1)}${key.secret.endsWith('0') ? '1' : '0'}`),
    ];
    expect([real.status, real.body.detail]).toEqual([madeUp.status, madeUp.body.detail]);
  });

  it('is not taken for one when its tag is wrong, nor is its public start', async () => {
    const wrong = `${key.secret.slice(0, -1)}${key.secret.endsWith('0') ? '1' : '0'}`;
    for (const description of [wrong, key.view.keyPrefix]) {
      expect((await app.post('/api-keys', { token: admin, body: { description } })).status).toBe(201);
    }
  });
});
