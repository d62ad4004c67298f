import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { insertUsageStatement } from '../../../src/usage/usage-insert.js';
import { entryOf } from '../../../src/usage/usage-entry.js';
import { UsageWriter } from '../../../src/usage/usage-writer.js';
import { TestApp } from '../../support/app.js';
import { HOUR_TIMEOUT_MS, withinOneHour } from '../../support/hours.js';
import { untilSummedUp } from '../../support/summed-up.js';
import { asOwner } from '../../support/trail.js';

const CALLER = randomUUID();
const CENT = 1_000_000n;
type Row = { group: string; costCents: number };
const TERMS = { defaultHold: 0n, ceiling: 1_000_000n * CENT };

describe('Versions of keys', () => {
  let app: TestApp;
  let token: string;
  let writer: UsageWriter;
  let owners: readonly [string, string];

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    token = await app.adminToken();
    writer = new UsageWriter(app.dataSource, TERMS);
    owners = [(await app.addUser(['creator'])).id, (await app.addUser(['creator'])).id];
    await withinOneHour(app);
  }, HOUR_TIMEOUT_MS);
  afterAll(() => app.stop());

  const newKey = async (): Promise<string> =>
    (await app.post('/api-keys', { token, body: { ownerId: owners[0] } })).body.apiKey.id;
  const transfer = (id: string, ownerId: string) => app.post(`/api-keys/${id}/transfer`, { token, body: { ownerId } });
  const event = (keyId: string, cents: number) =>
    entryOf(CALLER, {
      ...{ id: randomUUID(), keyId, reservation: null, requests: 1, inputTokens: 0, outputTokens: 0 },
      ...{ costMicroCents: BigInt(cents) * CENT, model: null, chatbot: null, endpoint: null },
      ...{ statusCode: null, latencyMs: null, occurredAt: null, tags: [] },
    });
  const book = (keyId: string, ...cents: number[]) => writer.write(cents.map((cost) => event(keyId, cost)));
  /** As the release before does, which knows no versions. */
  const bookAsBefore = async (keyId: string, cents: number) => {
    const { text, values } = insertUsageStatement([event(keyId, cents)], TERMS);
    await app.dataSource.query(
      text.replace('usage_book_6', 'usage_book_2').replace(/, \$26.*(?=\))/, ''),
      values!.slice(0, 25),
    );
  };
  /** By owner, in cents; the books balance. */
  const spent = async (): Promise<Map<string, number>> => {
    expect(await reconcileUsage(app.dataSource)).toEqual([]);
    expect(await reconcileBudgets(app.dataSource)).toEqual([]);
    const rows = (await app.get('/usage/summary?groupBy=owner', { token })).body.rows as Row[];
    return new Map(rows.map(({ group, costCents }) => [group, costCents]));
  };
  const gained = async (work: () => Promise<unknown>): Promise<number[]> => {
    const before = await spent();
    await work();
    const after = await spent();
    return owners.map((owner) => (after.get(owner) ?? 0) - (before.get(owner) ?? 0));
  };

  it('are a row a change of owner, name or tags, and none for other changes', async () => {
    const key = await newKey();
    const versions = () =>
      app.dataSource.query('SELECT owner_id, name, tags FROM key_version WHERE key_id = $1 ORDER BY id', [key]);
    await app.patch(`/api-keys/${key}`, { token, body: { description: 'text', rateLimitPerMinute: 5 } });
    expect(await versions()).toHaveLength(1);
    await app.patch(`/api-keys/${key}`, { token, body: { name: 'Named', tags: ['x'] } });
    await transfer(key, owners[1]);
    expect((await versions()).slice(1)).toEqual([
      { owner_id: owners[0], name: 'Named', tags: ['x'] },
      { owner_id: owners[1], name: 'Named', tags: ['x'] },
    ]);
  });

  it('cannot be altered by the application', async () => {
    for (const sql of ['UPDATE key_version SET tags = tags', 'DELETE FROM key_version', 'DELETE FROM user_version'])
      await expect(app.dataSource.query(sql)).rejects.toThrow('permission denied');
  });

  it('have what they have used, in batches that run beside changes', async () => {
    const key = await newKey();
    const [first, second] = await gained(async () => {
      const changes = (async () => {
        for (let change = 0; change < 6; change += 1) await transfer(key, owners[(change + 1) % 2]!);
      })();
      for (let batch = 0; batch < 30; batch += 1) await book(key, 1, 1, 1);
      await changes;
    });
    expect(first! + second!).toBe(90);
  });

  it('are given to what the release before books beside this one, an hour at a time', async () => {
    const key = await newKey();
    expect(await gained(() => bookAsBefore(key, 1))).toEqual([1, 0]);
    await transfer(key, owners[1]);
    expect(await gained(() => book(key, 2, 2))).toEqual([0, 4]);
    // It knows no versions: the hour began with the first owner.
    expect(await gained(() => bookAsBefore(key, 8))).toEqual([8, 0]);
    const other = await newKey();
    await transfer(other, owners[1]);
    expect(await gained(() => bookAsBefore(other, 16))).toEqual([0, 16]);
  });

  it('are the first one for a rollup from before versions were kept, in its hour too', async () => {
    const key = await newKey();
    await book(key, 1);
    await untilSummedUp(app.dataSource);
    await app.dataSource.query('UPDATE usage_rollup_hour SET version_id = NULL WHERE key_id = $1', [key]);
    await asOwner(app.database, (client) =>
      client.query('UPDATE usage_event SET version_id = NULL WHERE key_id = $1', [key]),
    );
    await transfer(key, owners[1]);
    expect(await gained(() => book(key, 4))).toEqual([0, 4]);
  });

  it('are named by the doctor where a moved sum is off by one', async () => {
    const key = await newKey();
    await book(key, 1);
    await transfer(key, owners[1]);
    await book(key, 1);
    await untilSummedUp(app.dataSource);
    const move = (sign: string) =>
      app.dataSource.query(
        `UPDATE usage_rollup_moved SET cost_micro_cents = cost_micro_cents ${sign} 1 WHERE key_id = $1`,
        [key],
      );
    await move('+');
    expect(await reconcileUsage(app.dataSource)).toEqual([
      expect.objectContaining({ check: 'versions in rollups = Σ events', subject: expect.stringContaining(key) }),
    ]);
    await move('-');
    expect(await reconcileUsage(app.dataSource)).toEqual([]);
  });
});
