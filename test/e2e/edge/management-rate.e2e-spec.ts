import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { uuidv7 } from '../../../src/common/uuid.js';
import { AuditedRefusals } from '../../../src/audit/audited-refusals.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { issueKey } from '../../support/management.js';
import { StatementCounter } from '../../support/statements.js';
import { trailRowsOnce } from '../../support/trail.js';

/** One a second, twelve at the same instant. */
const PER_MINUTE = 60;
const BURST = 12;

describe('Requests of the management plane', () => {
  let app: TestApp;
  let person: TestUser;
  let other: TestUser;

  beforeAll(async () => {
    app = await TestApp.start({ MANAGEMENT_RATE_PER_MINUTE: String(PER_MINUTE) });
    person = await app.addUser(['creator']);
    other = await app.addUser(['creator']);
  });
  afterAll(() => app.stop());

  const read = (token: string) => app.get('/api-keys', { token });
  /** Reads of `token` until one is refused. */
  const untilRefused = async (token: string) => {
    for (let n = 0; n < 10 * BURST; n += 1) {
      const answer = await read(token);
      if (answer.status !== 200) return { accepted: n, answer };
    }
    throw new Error('Nothing was refused.');
  };
  /**
   * Whether a request is refused with nothing left of the rate of reads: some of it may come back before it arrives.
   */
  const isRefusedOnceUsedUp = async (token: string, send: () => Promise<{ status: number }>) => {
    for (let n = 0; n < 10; n += 1) {
      await untilRefused(token);
      if ((await send()).status === 429) return true;
    }
    return false;
  };

  it('are 429 beyond the rate, with a sentence and the seconds until the next is accepted', async () => {
    const { accepted, answer } = await untilRefused(person.token);
    expect(accepted).toBeGreaterThanOrEqual(BURST);
    expect(answer.status).toBe(429);
    expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(answer.body).toMatchObject({
      code: 'TOO_MANY_REQUESTS',
      detail: 'You may send 60 requests a minute: try again in 1 second.',
      retryAfterSeconds: 1,
    });
  });

  it('are accepted again after that time', async () => {
    const { answer } = await untilRefused(person.token);
    await sleep(Number(answer.headers.get('retry-after')) * 1000 + 50);
    expect((await read(person.token)).status).toBe(200);
  });

  it('of others are accepted meanwhile', async () => {
    await untilRefused(person.token);
    expect((await read(other.token)).status).toBe(200);
  });

  it('that are refused for want of a permission count as well', async () => {
    const user = await app.addUser([]);
    const statuses: number[] = [];
    for (let n = 0; n < 2 * BURST; n += 1)
      statuses.push((await app.get('/audit-events', { token: user.token })).status);
    expect(statuses.filter((status) => status === 403).length).toBeGreaterThanOrEqual(BURST);
    expect(statuses).toContain(429);
  });

  it('that take access away have a rate of their own', async () => {
    const keys = await Promise.all(Array.from({ length: 2 }, () => app.post('/api-keys', { token: other.token })));
    await untilRefused(other.token);
    for (const { body } of keys)
      expect((await app.post(`/api-keys/${body.apiKey.id}/revoke`, { token: other.token })).status).toBe(200);
    expect((await app.post('/auth/logout', { token: other.token })).status).toBe(204);
  });

  it('count a batch as one for each 50 of its keys', async () => {
    const admin = await app.adminToken();
    const ids = Array.from(
      { length: 10 * 50 },
      (_, n) => `019a8b5e-1c7a-7cc3-b4a1-${n.toString(16).padStart(12, '0')}`,
    );
    const beganMs = performance.now();
    expect((await app.post('/api-keys/bulk', { token: admin, body: { action: 'activate', ids } })).status).toBe(200);
    const { accepted } = await untilRefused(admin);
    // One comes back each second, also while the batch and the reads take their time.
    expect(accepted).toBeLessThanOrEqual(BURST - 10 + Math.ceil((performance.now() - beganMs) / 1000) + 1);
  });

  it.each(['revoke', 'deactivate'])('count a batch that is to %s among those that take access away', async (action) => {
    const { token } = await app.addUser(['creator']);
    await untilRefused(token);
    const bulk = (body: object) => app.post('/api-keys/bulk', { token, body: { ids: [uuidv7()], ...body } });
    expect((await bulk({ action })).status).toBe(200);
    // By the same token: no other action, no action at all, and none that only looks like one.
    for (const other of [{ action: 'renew' }, {}, { action: [action] }, { verb: action }]) {
      expect(await isRefusedOnceUsedUp(token, () => bulk(other))).toBe(true);
    }
  });

  it('that go on cost no statement', async () => {
    const { token } = await app.addUser(['creator']);
    await untilRefused(token);
    const counter = new StatementCounter();
    try {
      const answers = await Promise.all(Array.from({ length: 20 }, () => read(token)));
      const refused = answers.filter(({ status }) => status === 429).length;
      expect(refused).toBeGreaterThanOrEqual(10);
      // Each request of a person takes two to know the session and what its user may do.
      const ofUsers = counter.take().filter((text) => /\bFROM session\b|\bFROM users\b/.test(text)).length;
      expect(ofUsers).toBeLessThanOrEqual(2 * (answers.length - refused));
    } finally {
      counter.stop();
    }
  });

  it('that were refused are one counted entry of the trail', async () => {
    const user = await app.addUser(['creator']);
    await untilRefused(user.token);
    await Promise.all(Array.from({ length: 5 }, () => read(user.token)));
    app.app.get(AuditedRefusals)['sweep'](Number.POSITIVE_INFINITY);
    const rows = await trailRowsOnce(app, 1, `actor_id = $1 AND outcome = 'refused'`, [user.id]);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      action: 'api-keys:read',
      details: { code: 'TOO_MANY_REQUESTS', count: expect.any(Number) },
    });
    expect(rows[0]!.details['count']).toBeGreaterThanOrEqual(4);
  });
});

describe('The data plane', () => {
  it('knows no such rate', async () => {
    const app = await TestApp.start({ MANAGEMENT_RATE_PER_MINUTE: String(PER_MINUTE) });
    const admin = await app.adminToken();
    const gateway = await issueKey(app, admin, { roles: ['gateway'] });
    const statuses: number[] = [];
    for (let n = 0; n < 4 * BURST; n += 1) {
      const body = { events: [{ id: `e${n}`, apiKeyId: gateway.id, costCents: 1 }] };
      statuses.push((await app.post('/verify', { apiKey: gateway.secret, body: { key: gateway.secret } })).status);
      statuses.push((await app.post('/usage', { apiKey: gateway.secret, body })).status);
    }
    expect([...new Set(statuses)]).toEqual([200]);
    await app.stop();
  });
});

describe('Creations of a day', () => {
  const LIMIT = 3;
  let app: TestApp;

  beforeAll(async () => {
    app = await TestApp.start({ CREATIONS_PER_DAY: String(LIMIT), MAX_ACTIVE_KEYS: '1000' });
  });
  afterAll(() => app.stop());

  const create = (token: string) => app.post('/api-keys', { token });

  it('are 429 beyond their number, with the time until the next day, whatever became of the keys', async () => {
    const { token } = await app.addUser(['creator']);
    for (let n = 0; n < LIMIT; n += 1) {
      const { status, body } = await create(token);
      expect(status).toBe(201);
      await app.post(`/api-keys/${body.apiKey.id}/revoke`, { token });
      await app.delete(`/api-keys/${body.apiKey.id}/permanent`, { token });
    }
    const { status, headers, body } = await create(token);
    expect([status, body.code]).toEqual([429, 'CREATION_LIMIT_REACHED']);
    expect(body.detail).toMatch(/^You have made 3 keys and secrets today.* go on in \d+ seconds, at 00:00 UTC\.$/);
    expect(Number(headers.get('retry-after'))).toBe(body.retryAfterSeconds);
    expect(body.retryAfterSeconds).toBeLessThanOrEqual(86_400);
  });

  it('include new secrets and keys by alias', async () => {
    const { token } = await app.addUser(['creator']);
    const { body } = await create(token);
    expect((await app.put('/api-keys/by-alias/one', { token, body: { name: 'One' } })).status).toBe(201);
    expect((await app.put('/api-keys/by-alias/one', { token, body: { name: 'One' } })).status).toBe(200);
    expect((await app.post(`/api-keys/${body.apiKey.id}/regenerate`, { token, body: {} })).status).toBe(200);
    expect((await app.post(`/api-keys/${body.apiKey.id}/regenerate`, { token, body: {} })).status).toBe(429);
    expect((await app.put('/api-keys/by-alias/two', { token, body: { name: 'Two' } })).status).toBe(429);
  });

  it('are exactly as many when they come at the same time', async () => {
    const { token } = await app.addUser(['creator']);
    const answers = await Promise.all(Array.from({ length: 12 }, () => create(token)));
    expect(answers.map(({ status }) => status).sort()).toEqual([
      ...Array<number>(LIMIT).fill(201),
      ...Array<number>(12 - LIMIT).fill(429),
    ]);
  });

  it('do not count what was refused', async () => {
    const { token } = await app.addUser(['creator']);
    for (let n = 0; n < LIMIT; n += 1)
      expect((await app.post('/api-keys', { token, body: { roles: ['nobody'] } })).status).toBe(400);
    expect((await create(token)).status).toBe(201);
  });

  it('begin anew with the day', async () => {
    const { id, token } = await app.addUser(['creator']);
    for (let n = 0; n < LIMIT; n += 1) await create(token);
    expect((await create(token)).status).toBe(429);
    await app.dataSource.query(`UPDATE creation_count SET day = day - 1 WHERE user_id = $1`, [id]);
    expect((await create(token)).status).toBe(201);
  });

  it('are not bounded for those who administer keys of others', async () => {
    const admin = await app.adminToken();
    for (let n = 0; n <= LIMIT; n += 1) expect((await create(admin)).status).toBe(201);
  });
});

describe('Revocations that wait for a replica which says nothing', () => {
  it('keep no other revocation of the same person waiting', async () => {
    const app = await TestApp.start({ MAX_STALENESS_SECONDS: '6' });
    try {
      const token = await app.adminToken();
      const keys = [];
      for (let n = 0; n < 6; n += 1) keys.push(await issueKey(app, token));
      // It is silent from now on, and is waited for until it counts as dead.
      await app.dataSource.query('INSERT INTO replica (id, applied_seq) VALUES (gen_random_uuid(), 0)');
      const answers = await Promise.all(
        keys.map(({ id }) => app.post(`/api-keys/${id}/revoke?wait=true`, { token, body: {} })),
      );
      expect(answers.map(({ status }) => status)).toEqual(keys.map(() => 200));
    } finally {
      await app.stop();
    }
  });
});
