import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { asOwner, trailRows, trailRowsOnce } from '../../support/trail.js';

/** Everything a management change could touch. */
const STATE = `SELECT (SELECT count(*) FROM api_key) AS keys, (SELECT count(*) FROM api_key_secret) AS secrets,
  (SELECT count(*) FROM session) AS sessions, (SELECT count(*) FROM usage_event WHERE subject IS NOT NULL) AS subjects, (SELECT count(*) FROM audit_event) AS events,
  (SELECT seq FROM change_head) AS seq, (SELECT encode(audit_hash, 'hex') FROM change_head) AS hash`;

describe('While the trail takes no entries', () => {
  let app: TestApp;
  let admin: string;
  let user: TestUser;
  let before: unknown;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    user = await app.addUser(['creator']);
    const { body } = await app.post('/api-keys', { token: admin });
    const event = { id: 'named', apiKeyId: body.apiKey.id, subject: 'user-4711' };
    expect((await app.post('/usage', { token: admin, body: { events: [event] } })).body.accepted).toBe(1);
    await asOwner(app.database, (client) => client.query('REVOKE INSERT ON audit_event FROM latchkey_app'));
    before = await app.dataSource.query(STATE);
  });
  afterAll(() => app.stop());

  const expectNothingChanged = async () => expect(await app.dataSource.query(STATE)).toEqual(before);

  it('a change is 503 and does not happen', async () => {
    const { status, body, headers } = await app.post('/api-keys', { token: admin, body: { name: 'Unrecorded' } });
    expect(status).toBe(503);
    expect(body).toMatchObject({ code: 'UNAVAILABLE', detail: expect.stringContaining('audit trail') });
    expect(body).not.toHaveProperty('secretKey');
    expect(headers.get('retry-after')).toBe('1');
    await expectNothingChanged();
  });

  it('events keep the text of a subject that was to be erased', async () => {
    const { status } = await app.post('/subjects/erase', { token: admin, body: { subject: 'user-4711' } });
    expect(status).toBe(503);
    await expectNothingChanged();
    expect(before).toEqual([expect.objectContaining({ subjects: '1' })]);
  });

  it('nobody signs in or out', async () => {
    expect((await app.post('/auth/login', { body: { email: user.email, password: user.password } })).status).toBe(503);
    expect((await app.post('/auth/logout', { token: user.token })).status).toBe(503);
    await expectNothingChanged();
    expect((await app.get('/auth/me', { token: user.token })).status).toBe(200);
  });

  it('a refusal is 503, since it cannot be recorded', async () => {
    const { status, body } = await app.get('/audit-events', { token: user.token });
    expect([status, body.code]).toEqual([503, 'UNAVAILABLE']);
    await expectNothingChanged();
  });

  it('a bad credential is still 401, since it never is recorded', async () => {
    expect((await app.get('/audit-events', { token: 'x' })).status).toBe(401);
  });

  it('reads are answered, and recorded in their own chain all the same', async () => {
    const [key] = await app.dataSource.query<{ id: string }[]>('SELECT id FROM api_key');
    const { status, headers } = await app.get(`/api-keys/${key!.id}`, { token: admin });
    expect(status).toBe(200);
    const [row] = await trailRowsOnce(app, 1, 'request_id = $1', [headers.get('x-request-id')]);
    expect(row).toMatchObject({ action: 'api-keys:read', outcome: 'success' });
    expect(await trailRows(app, `action = 'api-keys:create'`)).toHaveLength(1);
  });
});
