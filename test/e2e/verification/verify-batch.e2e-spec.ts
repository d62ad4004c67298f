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
    const items = [{ key: good.secret }, { key: 'garbage' }, { key: revoked.secret }, { key: good.secret, scopes: ['b'] }, { key: good.secret, scopes: ['a'], explain: true }];
    const { status, body } = await verify({ items });
    expect(status).toBe(200);
    expect(body.results.map(({ code }: { code: string }) => code)).toEqual(['VALID', 'MALFORMED', 'REVOKED', 'INSUFFICIENT_SCOPE', 'VALID']);
    expect(body.results[4].checks).toHaveLength(9);
  });

  it('200: takes a hundred', async () => {
    const { status, body } = await verify({ items: Array.from({ length: 100 }, (_, index) => ({ key: `garbage ${index}` })) });
    expect([status, body.results.length]).toEqual([200, 100]);
  });

  it('400: names the wrong field of the wrong item, and how many there may be', async () => {
    const wrong = await verify({ items: [{ key: 'x' }, { key: 'x', cost: 0 }] });
    expect(wrong).toMatchObject({ status: 400, body: { errors: [{ path: 'items.1.cost' }] } });
    expect((await verify({ items: Array.from({ length: 101 }, () => ({ key: 'x' })) })).body.errors[0].path).toBe('items');
    expect((await verify({ items: [] })).status).toBe(400);
    expect((await verify({})).status).toBe(400);
  });

  it('401 and 403: as for one', async () => {
    expect((await app.post('/verify/batch', { body: {} })).status).toBe(401);
    const key = await issueKey(app, admin);
    expect((await app.post('/verify/batch', { apiKey: key.secret, body: {} })).status).toBe(403);
  });
});
