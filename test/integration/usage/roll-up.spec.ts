import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { Conditions } from '../../../src/common/conditions.js';
import { dataSource } from '../../../src/database/data-source.js';
import { LimitAccountsRepository, type ReportedLimit } from '../../../src/limits/limit-accounts.repository.js';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { BudgetForecastsRepository } from '../../../src/usage/budget-forecasts.repository.js';
import { entryOf, type UsageReport } from '../../../src/usage/usage-entry.js';
import { UsageRollUp } from '../../../src/usage/usage-roll-up.js';
import { UsageWriter } from '../../../src/usage/usage-writer.js';
import { eventually } from '../../support/eventually.js';
import { TestApp } from '../../support/app.js';
import { HOUR_TIMEOUT_MS, withinOneHour } from '../../support/hours.js';
import { untilSummedUp } from '../../support/summed-up.js';

const CALLER = randomUUID();
const CENT = 1_000_000n;
const TERMS = { defaultHold: 0n, ceiling: 1_000_000n * CENT };

describe('What is booked and not in sums yet', () => {
  let app: TestApp;
  let owner: DataSource;
  let token: string;
  let writer: UsageWriter;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    owner = await dataSource(app.database.ownerUrl, { max: 2 }).initialize();
    token = await app.adminToken();
    // The application does not know of what this one books. Its look for that, every ten seconds, would add it while a
    // test says that it is pending.
    await app.app.get(UsageRollUp)['rounds'].stop();
    writer = new UsageWriter(app.dataSource, TERMS);
    await withinOneHour(app);
  }, HOUR_TIMEOUT_MS);
  afterAll(async () => {
    await owner.destroy();
    await app.stop();
  });
  afterEach(async () => {
    expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
  });

  const newKey = async (body: object = {}) => (await app.post('/api-keys', { token, body })).body.apiKey.id as string;
  const event = (keyId: string, given: Partial<UsageReport> = {}) =>
    entryOf(CALLER, {
      ...{ id: randomUUID(), keyId, reservation: null, requests: 1, inputTokens: 2, outputTokens: 3 },
      ...{ costMicroCents: CENT, model: null, chatbot: null, endpoint: null },
      ...{ statusCode: null, latencyMs: null, occurredAt: null, tags: [] },
      ...given,
    });
  const book = (...entries: ReturnType<typeof event>[]) => writer.write(entries);
  const pendingOf = async (keyId: string): Promise<number> => {
    const [row] = await owner.query<{ n: number }[]>(
      'SELECT count(*)::int AS n FROM usage_pending_rows() WHERE key_id = $1',
      [keyId],
    );
    return row!.n;
  };
  const totalOf = async (id: string): Promise<number> => {
    const { status, body } = await app.get(`/api-keys/${id}`, { token });
    if (status !== 200) throw new Error(JSON.stringify(body));
    return body.totalRequests as number;
  };

  /** Every read of sums that a key and its project are in. */
  const reads = async (key: string, project: string) => {
    const limit = (targetKind: 'key' | 'project' | 'installation', unit: 'cents' | 'tokens', models: string[]) =>
      ({
        ...{ unit, targetKind, targetId: { key, project, installation: null }[targetKind] },
        ...{ per: 'month', timeZone: 'UTC', models },
      }) as unknown as ReportedLimit;
    const accounts = new LimitAccountsRepository(app.dataSource.manager);
    const forecasts = new BudgetForecastsRepository(app.dataSource.manager);
    const since = new Date(Date.now() - 7_200_000);
    const listed = (await app.get(`/api-keys?projectId=${project}`, { token })).body as unknown;
    return {
      listed,
      key: (await app.get(`/api-keys/${key}`, { token })).body,
      usage: (await app.get(`/api-keys/${key}/usage`, { token })).body,
      series: (await app.get(`/api-keys/${key}/usage/series?groupBy=model`, { token })).body,
      summaries: await Promise.all(
        ['day', 'model', 'key', 'owner', 'project', 'tag'].flatMap((groupBy) =>
          ['', `&projectId=${project}`].map(
            async (of) => (await app.get(`/usage/summary?groupBy=${groupBy}${of}`, { token })).body,
          ),
        ),
      ),
      since: await forecasts.costSince(key, since),
      observed: (await forecasts.mostUsed(new Date(), '2000-01-01', since, null)).map(({ observed }) => observed),
      limits: await Promise.all([
        accounts.usedSoFar(limit('key', 'cents', ['m*'])),
        accounts.usedSoFar(limit('project', 'tokens', [])),
        accounts.usedSoFar(limit('installation', 'cents', [])),
      ]),
    };
  };

  it('is in every read of sums, and no read changes when it is added to them', async () => {
    const project = (await app.post('/projects', { token, body: { name: 'Pending' } })).body.id as string;
    const key = await newKey({ projectId: project, budgetLimitCents: 1000, budgetType: 'total', tags: ['t'] });
    const read = () => reads(key, project);
    await book(event(key, { costMicroCents: 10n * CENT, model: 'm' }));
    await untilSummedUp(owner);
    const before = await read();
    await app.patch(`/api-keys/${key}`, { token, body: { tags: ['t', 'u'] } });
    await book(event(key, { model: 'm' }), event(key, { model: 'n' }), event(key, { model: 'm', requests: 5 }));
    expect(await pendingOf(key)).toBe(3);
    const pending = await read();
    expect([before.key.totalRequests, pending.key.totalRequests, pending.usage.totalRequests]).toEqual([1, 8, 8]);
    expect([before.since, pending.since]).toEqual([10n * CENT, 13n * CENT]);
    expect(pending.observed).toEqual([13n * CENT]);
    expect(pending.limits).toEqual([12n * CENT, 20n, 13n * CENT]);
    expect(
      pending.summaries.every((summary, index) => JSON.stringify(summary) !== JSON.stringify(before.summaries[index])),
    ).toBe(true);
    await untilSummedUp(owner);
    expect(await pendingOf(key)).toBe(0);
    expect(await read()).toEqual(pending);
  });

  it('is counted once by many that add it at the same time, beside reports, transfers and readers', async () => {
    const keys = await Promise.all(Array.from({ length: 4 }, () => newKey()));
    const owners = [(await app.addUser(['creator'])).id, (await app.addUser(['creator'])).id];
    let isOver = false;
    const whileBooked = async (work: () => Promise<unknown>) => {
      while (!isOver) await work();
    };
    const beside = [
      ...[1, 2, 3].map(() => whileBooked(() => app.dataSource.query('SELECT usage_roll_up(2)'))),
      whileBooked(async () => expect(await reconcileUsage(app.dataSource)).toEqual([])),
      whileBooked(() =>
        app.post(`/api-keys/${keys[0]}/transfer`, { token, body: { ownerId: owners[Math.floor(2 * Math.random())] } }),
      ),
    ];
    const booked = Array.from({ length: 2 }, async () => {
      for (let batch = 0; batch < 40; batch += 1)
        await book(...Array.from({ length: 20 }, (_, index) => event(keys[index % 4]!, { model: `m${index % 3}` })));
    });
    await Promise.all(booked).finally(() => (isOver = true));
    await Promise.all(beside);
    for (const key of keys) expect(await totalOf(key)).toBe(400);
    await untilSummedUp(owner);
    for (const key of keys) expect(await totalOf(key)).toBe(400);
    const [moved] = await owner.query<{ n: number }[]>(
      'SELECT count(*)::int AS n FROM usage_rollup_moved WHERE key_id = $1',
      [keys[0]],
    );
    expect(moved!.n).toBeGreaterThan(0);
  });

  it('stays when the session that adds it dies in the middle', async () => {
    const key = await newKey();
    await book(event(key), event(key));
    const blocker = owner.createQueryRunner();
    await blocker.startTransaction();
    await blocker.query('SELECT FROM key_totals WHERE key_id = $1 FOR UPDATE', [key]);
    const stuck = app.dataSource.query('SELECT usage_roll_up(1000)').then(
      () => 'committed',
      () => 'lost',
    );
    const kill = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%usage_roll_up%'`;
    while ((await owner.query<unknown[]>(kill)).length === 0);
    expect(await stuck).toBe('lost');
    // The pool may hand out the connection once more before it learns that its session is gone.
    while ((await app.get(`/api-keys/${key}`, { token })).status === 503);
    await blocker.rollbackTransaction();
    await blocker.release();
    // The first request may meet the connection that was ended.
    await eventually(async () => expect([await pendingOf(key), await totalOf(key)]).toEqual([2, 2]));
    await untilSummedUp(owner);
    expect([await pendingOf(key), await totalOf(key)]).toEqual([0, 2]);
  });

  it('stays in sums when its key is deleted before it is added', async () => {
    const key = await newKey({ name: 'Gone' });
    await book(event(key, { requests: 7 }));
    await app.dataSource.query('DELETE FROM api_key WHERE id = $1', [key]);
    const rowOf = async () => {
      const { body } = await app.get('/usage/summary?groupBy=key', { token });
      return (body.rows as { group: string; requests: number }[]).find(({ group }) => group === key);
    };
    expect(await rowOf()).toMatchObject({ name: 'Gone', requests: 7 });
    await untilSummedUp(owner);
    expect(await rowOf()).toMatchObject({ name: 'Gone', requests: 7 });
    expect(await owner.query('SELECT requests, is_listed FROM key_totals WHERE key_id = $1', [key])).toEqual([
      { requests: '7', is_listed: false },
    ]);
  });

  it('is added soon after the start of a process, where the one that booked it was killed', async () => {
    const key = await newKey();
    await book(event(key));
    const rollUp = new UsageRollUp(app.dataSource, { register: () => undefined } as unknown as Conditions);
    rollUp.onApplicationBootstrap();
    await eventually(async () => expect(await pendingOf(key)).toBe(0));
    await rollUp.onApplicationShutdown();
    expect(await totalOf(key)).toBe(1);
  });

  it('is told as a condition where it cannot be added, while reads are right, and is added afterwards', async () => {
    const key = await newKey();
    for (const statement of [
      `CREATE FUNCTION no_totals() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no totals'; END $$`,
      'CREATE TRIGGER no_totals BEFORE UPDATE ON key_totals FOR EACH ROW WHEN (NEW.requests > OLD.requests) EXECUTE FUNCTION no_totals()',
    ])
      await owner.query(statement);
    const rollUp = app.app.get(UsageRollUp);
    const state = () => app.app.get(Conditions).check()['usageSums'];
    await book(event(key, { requests: 3 }));
    expect(state()).toEqual({ status: 'up' });
    for (let round = 0; round < 10; round += 1) await rollUp.run();
    expect(state()).toEqual({ status: 'degraded', reason: expect.stringContaining('not added to totals') });
    expect([await pendingOf(key), await totalOf(key)]).toEqual([1, 3]);
    await owner.query('DROP FUNCTION no_totals CASCADE');
    await rollUp.run();
    expect([state(), await pendingOf(key), await totalOf(key)]).toEqual([{ status: 'up' }, 0, 3]);
  });

  // The last one: an application that was started later has taken the sign-in of this process.
  it('is added by the end of a process, also what is reported while it ends', async () => {
    const key = await newKey();
    const ending = await TestApp.start({}, app.database);
    const blocker = owner.createQueryRunner();
    await blocker.startTransaction();
    await blocker.query('SELECT FROM budget_account WHERE key_id = $1 FOR UPDATE', [key]);
    const body = { events: [{ id: randomUUID(), apiKeyId: key, costCents: 1 }] };
    const reported = ending.post('/usage', { token, body });
    const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%usage_book%'`;
    while ((await app.dataSource.query<unknown[]>(waiting)).length === 0);
    const ended = ending.stop();
    // By now everything is done that does not wait for the report.
    await sleep(500);
    await blocker.rollbackTransaction();
    await blocker.release();
    expect((await reported).status).toBe(200);
    await ended;
    expect(await owner.query('SELECT requests FROM key_totals WHERE key_id = $1', [key])).toEqual([{ requests: '1' }]);
  });
});
