import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { Metrics } from '../../../src/common/metrics.js';
import { type Answer, TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { type IssuedKey, issueKey, issueServiceKey } from '../../support/management.js';

/** The smallest: 8 of management at the same time. */
const MAX_IN_FLIGHT = '64';
const PLACES = 8;
/** The gate lets four of one person run. */
const OF_ONE_PERSON = 4;
const SLOW_MACHINE_MS = 20_000;

describe('While management is full', () => {
  let app: TestApp;
  let admin: string;
  let service: IssuedKey;
  let key: IssuedKey;
  let lock: Client;
  let isFull = true;
  let fillers: Promise<void>[] = [];
  /** What too many requests at the same time were answered. */
  const burst: Promise<Answer>[] = [];
  let refused: Answer[] = [];

  /** More at the same time than has a place or may wait for one. */
  const floodUntilRefused = async () => {
    refused = [];
    while (refused.length === 0) {
      for (let n = 0; n < 3 * PLACES; n += 1) {
        const answer = app.get('/roles', { token: admin });
        burst.push(answer);
        // One that has a place may be 503 for another reason: the connections of the pool hang at the lock.
        void answer.then((one) => one.body.code === 'OVERLOADED' && refused.push(one));
      }
      await sleep(50);
    }
  };
  const metric = async (name: string) => {
    const text = await app.app.get(Metrics).registry.metrics();
    return Number(new RegExp(`^${name}\\{class="management"\\} (\\d+)$`, 'm').exec(text)?.[1]);
  };

  beforeAll(async () => {
    app = await TestApp.start({ MAX_IN_FLIGHT });
    admin = await app.adminToken();
    service = await issueServiceKey(app, admin);
    key = await issueKey(app, admin);
    const people = await Promise.all(Array.from({ length: PLACES / OF_ONE_PERSON }, () => app.addUser(['admin'])));
    lock = new Client({ connectionString: app.database.ownerUrl });
    await lock.connect();
    // What one report reads, and nothing else that is asked for here.
    await lock.query('BEGIN');
    await lock.query('LOCK TABLE verdict_minute IN ACCESS EXCLUSIVE MODE');
    const fill = async (token: string): Promise<void> => {
      while (isFull) if ((await app.get('/usage/refusals', { token })).status >= 429) await sleep(20);
    };
    fillers = people.flatMap(({ token }) => Array.from({ length: OF_ONE_PERSON }, () => fill(token)));
    await eventually(async () => expect(await metric('latchkey_requests_in_flight')).toBe(PLACES), SLOW_MACHINE_MS);
    await floodUntilRefused();
  });
  afterAll(async () => {
    isFull = false;
    await lock.end();
    await Promise.all([...fillers, ...burst]);
    await app.stop();
  });

  it('more of it is 503 OVERLOADED, with one to three seconds to wait', () => {
    expect(refused.length).toBeGreaterThan(0);
    for (const { status, body, headers } of refused) {
      expect(status).toBe(503);
      expect(body.detail).toMatch(/try again in [123] seconds?\.$/);
      expect(headers.get('retry-after')).toBe(String(body.retryAfterSeconds));
    }
  });

  it('a key is verified', async () => {
    const answer = await app.post('/verify', { apiKey: service.secret, body: { key: key.secret } });
    expect([answer.status, answer.body.code]).toEqual([200, 'VALID']);
  });

  it('usage is reported', async () => {
    const events = [{ id: 'one', apiKeyId: key.id, costCents: 1 }];
    expect((await app.post('/usage', { apiKey: service.secret, body: { events } })).status).toBe(200);
  });

  it('a key is revoked', async () => {
    const { id } = key;
    expect((await app.post(`/api-keys/${id}/revoke`, { token: admin, body: {} })).status).toBe(200);
  });

  it('the replica is alive and ready, and says that it refuses requests', async () => {
    await floodUntilRefused();
    expect((await app.get('//health/live')).status).toBe(200);
    const ready = await app.get('//health/ready');
    expect([ready.status, ready.body.status]).toEqual([200, 'degraded']);
    expect(ready.body.details.capacity.reason).toMatch(/^More requests arrive/);
    expect(await metric('latchkey_requests_refused_total')).toBeGreaterThan(0);
  });

  it('what waits is answered once there is room, and no place is lost', async () => {
    isFull = false;
    await lock.query('ROLLBACK');
    await Promise.all([...fillers, ...burst]);
    await eventually(async () => {
      expect(await metric('latchkey_requests_in_flight')).toBe(0);
      expect(await metric('latchkey_requests_queued')).toBe(0);
    }, SLOW_MACHINE_MS);
    expect((await app.get('/roles', { token: admin })).status).toBe(200);
  });
});
