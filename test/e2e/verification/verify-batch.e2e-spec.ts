import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { Management, issueKey, issueServiceKey } from '../../support/management.js';

describe('POST /verify/batch', () => {
  let app: TestApp;
  let admin: string;
  let service: string;
  const verify = (body: unknown) => app.post('/verify/batch', { apiKey: service, body });

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    service = (await issueServiceKey(app, admin)).secret;
  });
  afterAll(() => app.stop());

  it('200: decides each by itself, in their order', async () => {
    const [good, revoked] = [await issueKey(app, admin, { scopes: ['a'] }), await issueKey(app, admin)];
    await new Management(app).revoke(revoked.id);
    const items = [
      { key: good.secret },
      { key: 'garbage' },
      { key: revoked.secret },
      { key: good.secret, scopes: ['b'] },
      { key: good.secret, scopes: ['a'], explain: true },
    ];
    const { status, body } = await verify({ items });
    expect(status).toBe(200);
    expect(body.results.map(({ code }: { code: string }) => code)).toEqual([
      'VALID',
      'MALFORMED',
      'REVOKED',
      'INSUFFICIENT_SCOPE',
      'VALID',
    ]);
    expect(body.results[4].checks).toHaveLength(11);
  });

  it('200: takes a hundred', async () => {
    const { status, body } = await verify({
      items: Array.from({ length: 100 }, (_, index) => ({ key: `garbage ${index}` })),
    });
    expect([status, body.results.length]).toEqual([200, 100]);
  });

  it('200: decides an item whose form is wrong by itself, naming its wrong fields', async () => {
    const { secret } = await issueKey(app, admin);
    const wrong: [unknown, string][] = [
      [{ key: '' }, 'key'],
      [{ key: secret, cost: 0 }, 'cost'],
      [{ key: secret, ip: 7 }, 'ip'],
      [{ key: secret, model: 'gpt-4o\n' }, 'model'],
      [{ key: secret, colour: 'red' }, 'colour'],
      [{ key: null }, 'key'],
      [{}, 'key'],
      [null, 'item'],
      ['text', 'item'],
    ];
    const { status, body } = await verify({
      items: [{ key: secret }, ...wrong.map(([item]) => item), { key: secret, ip: '203.0.113.7:443' }],
    });
    expect([status, body.results.at(0).code, body.results.at(-1).code]).toEqual([200, 'VALID', 'VALID']);
    for (const [index, [, path]] of wrong.entries()) {
      expect(body.results[index + 1]).toEqual({
        valid: false,
        code: 'VALIDATION_FAILED',
        detail: expect.stringContaining(`${path}: `),
        degraded: false,
        errors: [{ path, message: expect.any(String) }],
      });
    }
  });

  it('400: says how many items there may be, and what is no list', async () => {
    expect((await verify({ items: Array.from({ length: 101 }, () => ({ key: 'x' })) })).body.errors[0].path).toBe(
      'items',
    );
    expect((await verify({ items: [] })).status).toBe(400);
    expect((await verify({})).status).toBe(400);
    expect((await verify({ items: 'x' })).body.errors).toEqual([{ path: 'items', message: 'must be a list' }]);
  });

  it('401 and 403: as for one', async () => {
    expect((await app.post('/verify/batch', { body: {} })).status).toBe(401);
    const key = await issueKey(app, admin);
    expect((await app.post('/verify/batch', { apiKey: key.secret, body: {} })).status).toBe(403);
  });
});
