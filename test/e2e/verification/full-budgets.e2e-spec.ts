import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Client } from 'pg';
import { FeedService } from '../../../src/key-cache/feed/feed.service.js';
import { Quotas } from '../../../src/quotas/quotas.service.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { issueKey, issueServiceKey } from '../../support/management.js';

/** What is known of a budget holds for nearly 10 s: before that, only a notice can end it. */
const BOUND_MS = 7_000;

describe('a budget that is full', () => {
  let replicas: TestApp[];
  let admin: string;
  let service: string;

  beforeAll(async () => {
    const first = await TestApp.start();
    replicas = [first, await TestApp.start({}, first.database)];
    admin = await first.adminToken();
    service = (await issueServiceKey(first, admin)).secret;
  });
  afterAll(async () => {
    for (const replica of replicas.toReversed()) await replica.stop();
  });

  it.each(['total', 'monthly'] as const)('refuses calls on every replica soon after a report (%s)', async (type) => {
    const key = await issueKey(replicas[0]!, admin, { budgetLimitCents: 10, budgetType: type });
    const codes = () =>
      Promise.all(
        replicas.map(
          async (replica) =>
            (await replica.post('/verify', { apiKey: service, body: { key: key.secret } })).body.code as string,
        ),
      );
    expect(await codes()).toEqual(['VALID', 'VALID']);
    const report = { events: [{ id: `full-${type}`, apiKeyId: key.id, costCents: 10 }] };
    expect((await replicas[0]!.post('/usage', { apiKey: service, body: report })).status).toBe(200);
    const tookMs = await eventually(async () => expect(await codes()).toEqual(['BUDGET_EXCEEDED', 'BUDGET_EXCEEDED']));
    expect(tookMs).toBeLessThan(BOUND_MS);
  });

  it('keeps no change of keys away while its table is locked, and is told again after that', async () => {
    const [replica] = replicas as [TestApp];
    const feed = replica.app.get(FeedService);
    const polls = jest.spyOn(replica.app.get(Quotas), 'onPolled');
    const owner = new Client({ connectionString: replica.database.ownerUrl });
    await owner.connect();
    try {
      await owner.query('BEGIN; LOCK TABLE budget_account IN ACCESS EXCLUSIVE MODE');
      const lockedAt = performance.now();
      await eventually(() => {
        expect(feed.ageMs).toBeLessThan(performance.now() - lockedAt);
        expect(polls.mock.lastCall?.[3]).toBeNull();
      });
    } finally {
      await owner.end();
    }
    await eventually(() => expect(polls.mock.lastCall?.[3]).toEqual(expect.any(Array)));
    polls.mockRestore();
  });
});
