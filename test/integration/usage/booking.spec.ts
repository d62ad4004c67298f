import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { type Reservation, ReservationSigner } from '../../../src/quotas/reservation.js';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { type BookEntry, entryOf, type UsageEntry, type UsageReport } from '../../../src/usage/usage-entry.js';
import { UsageWriter } from '../../../src/usage/usage-writer.js';
import { TestApp } from '../../support/app.js';
import { reserve } from '../../support/reserve.js';
import { StatementCounter } from '../../support/statements.js';

const CALLER = randomUUID();
const CENT = 1_000_000n;
const CEILING = 1_000_000n * CENT;

describe('Booking a batch', () => {
  let app: TestApp;
  let token: string;
  let writer: UsageWriter;
  let key: string;
  let other: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    token = await app.adminToken();
    writer = new UsageWriter(app.dataSource, { defaultHold: 0n, ceiling: CEILING });
    [key, other] = [await newKey(), await newKey()];
  });
  afterAll(() => app.stop());
  afterEach(async () => {
    expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
  });

  const newKey = async (body: object = {}) => (await app.post('/api-keys', { token, body })).body.apiKey.id as string;
  const event = (id: string, given: Partial<UsageReport> = {}): BookEntry =>
    entryOf(CALLER, {
      id,
      keyId: key,
      reservation: null,
      requests: 1,
      inputTokens: 0,
      outputTokens: 0,
      costMicroCents: 0n,
      model: null,
      chatbot: null,
      endpoint: null,
      statusCode: null,
      latencyMs: null,
      occurredAt: null,
      tags: [],
      ...given,
    });
  const held = async (cents: number, type: 'total' | 'monthly' = 'total', of = key): Promise<Reservation> =>
    new ReservationSigner(app.config.reservationKeys).open(
      (await reserve(app, of, { cents, type, callerId: CALLER }))!,
    )!;
  const settle = (id: string, reservation: Reservation, costMicroCents: bigint | null = null) =>
    event(id, { keyId: reservation.keyId, reservation, costMicroCents });
  const release = (reservation: Reservation): BookEntry => ({ kind: 'release', reservation });
  const outcomes = async (...entries: BookEntry[]) => (await writer.write(entries)).map(({ outcome }) => outcome);
  const accountOf = async (id: string, period = 'total') =>
    (
      await app.dataSource.query<{ spent: number; leased: number }[]>(
        'SELECT spent_micro_cents::float8 AS spent, leased_micro_cents::float8 AS leased FROM budget_account WHERE key_id = $1 AND period = $2',
        [id, period],
      )
    )[0];
  const fresh = () => randomUUID();

  it('is one statement, whatever is in it', async () => {
    const [reservation, dropped] = [await held(2), await held(1)];
    await outcomes(event('known-before'));
    const statements = new StatementCounter();
    try {
      expect(
        await outcomes(
          event(fresh()),
          event('known-before'),
          event(fresh(), { keyId: randomUUID() }),
          settle(fresh(), reservation),
          release(dropped),
        ),
      ).toEqual(['accepted', 'duplicate', 'unknown-key', 'accepted', 'released']);
      expect(statements.take()).toEqual([expect.stringContaining('usage_book')]);
    } finally {
      statements.stop();
    }
  });

  it('decides twins one after the other: a repeat, another content', async () => {
    const id = fresh();
    expect(await outcomes(event(id), event(id), event(id, { requests: 2 }), event(id, { keyId: other }))).toEqual([
      'accepted',
      'duplicate',
      'conflict',
      'accepted',
    ]);
  });

  it('lets one of two contents win that come in batches at once, with hundreds of ids in opposite orders', async () => {
    const ids = Array.from({ length: 150 }, fresh);
    const batches = Array.from({ length: 6 }, (_, batch) => {
      const entries = ids.map((id) => event(id, { keyId: [key, other][id.charCodeAt(0) % 2]!, requests: batch + 1 }));
      return writer
        .write(batch % 2 ? entries.reverse() : entries)
        .then((results) => (batch % 2 ? results.reverse() : results));
    });
    const results = await Promise.all(batches);
    for (const index of ids.keys()) {
      expect(results.map((batch) => batch[index]!.outcome).sort()).toEqual([
        'accepted',
        'conflict',
        'conflict',
        'conflict',
        'conflict',
        'conflict',
      ]);
    }
  });

  it('ends a reservation once when settle and release of it are in one batch, in the order in which they came', async () => {
    const [one, two] = [await held(3), await held(3)];
    const before = await accountOf(key);
    expect(await outcomes(settle(fresh(), one, CENT), release(one), settle(fresh(), one, CENT))).toEqual([
      'accepted',
      'already-settled',
      'already-settled',
    ]);
    const late = await writer.write([release(two), release(two), settle(fresh(), two, CENT)]);
    expect(late.map(({ outcome, isLate }) => [outcome, isLate])).toEqual([
      ['released', false],
      ['already-released', false],
      ['accepted', true],
    ]);
    expect(await accountOf(key)).toEqual({
      spent: before!.spent + 2 * Number(CENT),
      leased: before!.leased - 6 * Number(CENT),
    });
  });

  it('ends reservations once when batches at once settle and release them in opposite orders', async () => {
    const reservations: Reservation[] = [];
    for (let index = 0; index < 12; index += 1) reservations.push(await held(1));
    const before = await accountOf(key);
    const results = await Promise.all(
      Array.from({ length: 6 }, (_, batch) => {
        const entries = reservations.map((reservation) =>
          batch === 0 ? release(reservation) : settle(fresh(), reservation),
        );
        return writer.write(batch % 2 ? entries.reverse() : entries).then((all) => (batch % 2 ? all.reverse() : all));
      }),
    );
    let settled = 0;
    for (const index of reservations.keys()) {
      const accepted = results.filter((batch) => batch[index]!.outcome === 'accepted').length;
      expect(accepted).toBe(1);
      settled += accepted;
    }
    expect(await accountOf(key)).toEqual({
      spent: before!.spent + settled * Number(CENT),
      leased: before!.leased - 12 * Number(CENT),
    });
  });

  it('leaves the id free of an event that settled nothing, and books its neighbours', async () => {
    const reservation = await held(1);
    const id = fresh();
    expect(await outcomes(event(fresh()), settle(fresh(), reservation), event(fresh()))).toEqual([
      'accepted',
      'accepted',
      'accepted',
    ]);
    expect(await outcomes(event(fresh()), settle(id, reservation), event(fresh()))).toEqual([
      'accepted',
      'already-settled',
      'accepted',
    ]);
    expect(await outcomes(event(id))).toEqual(['accepted']);
  });

  it('books the neighbours of one whose hold is larger than its lease', async () => {
    const reservation = await held(1);
    const forged = { ...reservation, amount: 50n * CENT };
    expect(await outcomes(event(fresh()), settle(fresh(), forged), event(fresh(), { costMicroCents: CENT }))).toEqual([
      'accepted',
      'refused',
      'accepted',
    ]);
  });

  it('charges a reservation of last month to it, and what nobody reserved to this one', async () => {
    const monthly = await newKey({ budgetLimitCents: 100, budgetType: 'monthly' });
    const [{ now, before }] = await app.dataSource.query<[{ now: string; before: string }]>(
      `SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-01') AS now, to_char(now() AT TIME ZONE 'UTC' - interval '1 month', 'YYYY-MM-01') AS before`,
    );
    const reservation = { ...(await held(5, 'monthly', monthly)), month: before, holds: [] };
    expect(
      await outcomes(settle(fresh(), reservation, CENT), event(fresh(), { keyId: monthly, costMicroCents: 2n * CENT })),
    ).toEqual(['accepted', 'accepted']);
    expect([await accountOf(monthly, before), await accountOf(monthly, now), await accountOf(monthly)]).toMatchObject([
      { spent: 1e6 },
      { spent: 2e6 },
      { spent: 3e6 },
    ]);
    const months = await app.dataSource.query(
      `SELECT month::text, cost_micro_cents::int AS cost FROM usage_event WHERE key_id = $1 ORDER BY 1`,
      [monthly],
    );
    expect(months).toEqual([
      { month: before, cost: 1e6 },
      { month: now, cost: 2e6 },
    ]);
  });

  it('charges what no free budget covers as overdraft, as far as it does not', async () => {
    const small = await newKey({ budgetLimitCents: 10, budgetType: 'total' });
    await outcomes(
      event(fresh(), { keyId: small, costMicroCents: 8n * CENT }),
      event(fresh(), { keyId: small, costMicroCents: 5n * CENT }),
    );
    const [row] = await app.dataSource.query(
      `SELECT spent_micro_cents::int AS spent, overdraft_micro_cents::int AS overdraft FROM budget_account WHERE key_id = $1 AND period = 'total'`,
      [small],
    );
    expect(row).toEqual({ spent: 13e6, overdraft: 3e6 });
  });

  it('refuses what costs more than one event may by itself, and keeps its id free', async () => {
    const id = fresh();
    const [within, over] = [CEILING, CEILING + 1n];
    expect(
      await outcomes(event(fresh(), { costMicroCents: within }), event(id, { costMicroCents: over }), event(fresh())),
    ).toEqual(['accepted', 'over-ceiling', 'accepted']);
    expect(await outcomes(event(id, { costMicroCents: 1n }))).toEqual(['accepted']);
  });

  it('knows a repeat of an event that cost more than one may now', async () => {
    const generous = new UsageWriter(app.dataSource, { defaultHold: 0n, ceiling: 3n * CEILING });
    const dear = event(fresh(), { costMicroCents: 2n * CEILING }) as UsageEntry;
    expect((await generous.write([dear])).map(({ outcome }) => outcome)).toEqual(['accepted']);
    const other = entryOf(CALLER, { ...dear.report, costMicroCents: 3n * CEILING });
    expect(await outcomes(dear, event(fresh()))).toEqual(['duplicate', 'accepted']);
    expect(await outcomes(other)).toEqual(['conflict']);
  });

  it('settles what a budget held, whatever one event may cost, and no more than that', async () => {
    const strict = new UsageWriter(app.dataSource, { defaultHold: 0n, ceiling: CENT });
    const limited = await newKey({ budgetLimitCents: 100, budgetType: 'total' });
    const [one, two] = [await held(5, 'total', limited), await held(5, 'total', limited)];
    const unheld = { ...(await held(5, 'total', limited)), holds: [] };
    const results = await strict.write([
      settle(fresh(), one),
      settle(fresh(), two, 6n * CENT),
      settle(fresh(), unheld),
      settle(fresh(), unheld, CENT),
    ]);
    expect(results.map(({ outcome }) => outcome)).toEqual(['accepted', 'over-ceiling', 'over-ceiling', 'accepted']);
  });

  it('decides hundreds of events of one reservation in one statement', async () => {
    const reservation = await held(2);
    const statements = new StatementCounter();
    try {
      const results = await outcomes(...Array.from({ length: 200 }, () => settle(fresh(), reservation, CENT)));
      expect(results).toEqual(['accepted', ...Array.from({ length: 199 }, () => 'already-settled')]);
      expect(statements.take()).toHaveLength(1);
    } finally {
      statements.stop();
    }
  });

  it('decides hundreds of contents under one id in a few statements', async () => {
    const [known, unknown, id] = [fresh(), fresh(), fresh()];
    const reservation = await held(1);
    await outcomes(settle(fresh(), reservation));
    const statements = new StatementCounter();
    try {
      const contents = Array.from({ length: 60 }, (_, index) => index + 1);
      const results = await outcomes(
        ...contents.map((requests) => event(known, { requests })),
        ...contents.map((requests) => event(id, { keyId: unknown, requests })),
        ...contents.map((requests) => event(id, { reservation, requests })),
      );
      expect(new Set(results.slice(1, 60))).toEqual(new Set(['conflict']));
      expect(new Set(results.slice(60, 120))).toEqual(new Set(['unknown-key']));
      expect(new Set(results.slice(120))).toEqual(new Set(['already-settled', 'conflict']));
      expect(results[0]).toBe('accepted');
      expect(statements.take().length).toBeLessThanOrEqual(4);
    } finally {
      statements.stop();
    }
  });

  it('keeps every field as it came, whatever characters are in it', async () => {
    const report = {
      id: `${fresh()} "\\,{}'`,
      model: 'NULL',
      chatbot: '{"a":"\\\\"}',
      endpoint: 'POST /v1/ü😀, x',
      statusCode: 418,
      latencyMs: 0.1,
      inputTokens: 1e9,
      outputTokens: 7,
      requests: 1e6,
      occurredAt: new Date('2026-11-21T21:32:55.120Z'),
    };
    await outcomes(event(report.id, report));
    const [row] = await app.dataSource.query(
      `SELECT event_id AS id, model, chatbot, endpoint, status_code AS "statusCode", latency_ms AS "latencyMs", input_tokens::int AS "inputTokens",
              output_tokens::int AS "outputTokens", requests, occurred_at AS "occurredAt" FROM usage_event WHERE event_id = $1`,
      [report.id],
    );
    expect(row).toEqual(report);
  });

  it('locks accounts in one order, whatever that of the entries: batches side by side never deadlock', async () => {
    const keys: string[] = [];
    while (keys.length < 30) keys.push(await newKey());
    const entries = (ids: readonly string[]) => ids.map((keyId) => event(fresh(), { keyId, costMicroCents: CENT }));
    const deadlocks = async () => {
      const [row] = await app.dataSource.query<{ n: number }[]>(
        'SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()',
      );
      return row!.n;
    };
    const before = await deadlocks();
    for (let round = 0; round < 15; round += 1) {
      const [forth, back] = [entries(keys), entries(keys.toReversed())];
      await Promise.all([writer.write(forth), writer.write(back), writer.write(entries(keys))]);
    }
    expect(await deadlocks()).toBe(before);
    for (const id of keys) expect((await accountOf(id))!.spent).toBe(45 * Number(CENT));
  });

  it('locks the month of a key before its total, as settlements do, however full the table of accounts is', async () => {
    const id = await newKey();
    await writer.write([event(fresh(), { keyId: id, costMicroCents: CENT })]);
    // As after half a year: rows are looked up in an index, or in a bitmap of it, which has another order.
    await app.dataSource.query(
      `INSERT INTO budget_account (key_id, period)
       SELECT k, coalesce('2025-0' || nullif(m, 0) || '-01', 'total')
         FROM (SELECT gen_random_uuid() AS k FROM generate_series(1, 1000)) keys, generate_series(0, 6) m`,
    );
    await app.dataSource.query('ANALYZE budget_account');
    const blocker = app.dataSource.createQueryRunner();
    await blocker.startTransaction();
    const lock = (period: string, how: string): Promise<unknown[]> =>
      blocker.query(`SELECT 1 FROM budget_account WHERE key_id = $1 AND period ${period} 'total' ${how}`, [id]);
    await lock('<>', 'FOR UPDATE');
    const booked = writer.write([event(fresh(), { keyId: id, costMicroCents: CENT })]);
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%usage_book%'`;
    while ((await app.dataSource.query<unknown[]>(waiting)).length === 0);
    const free = await lock('=', 'FOR UPDATE SKIP LOCKED');
    await blocker.commitTransaction();
    await blocker.release();
    expect(free).toHaveLength(1);
    expect(await booked).toMatchObject([{ outcome: 'accepted' }]);
    await app.dataSource.query(
      'DELETE FROM budget_account a WHERE NOT EXISTS (SELECT FROM api_key k WHERE k.id = a.key_id)',
    );
  });

  it('keeps nothing of a batch whose connection dies in the middle, and counts it once when it comes again', async () => {
    const entries = Array.from({ length: 100 }, () => event(fresh(), { costMicroCents: CENT }));
    const before = await accountOf(key);
    const blocker = app.dataSource.createQueryRunner();
    await blocker.startTransaction();
    await blocker.query('LOCK TABLE usage_pending IN EXCLUSIVE MODE');
    // By now its ids are taken, its accounts charged and its events written.
    const stuck = writer.write(entries).then(
      () => 'committed',
      () => 'lost',
    );
    const kill = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%usage_book%'`;
    // Not in the transaction: it would see the same list of sessions for ever.
    while ((await app.dataSource.query<unknown[]>(kill)).length === 0);
    expect(await stuck).toBe('lost');
    await blocker.rollbackTransaction();
    await blocker.release();
    expect(await accountOf(key)).toEqual(before);
    expect(new Set(await outcomes(...entries))).toEqual(new Set(['accepted']));
    expect(new Set(await outcomes(...entries))).toEqual(new Set(['duplicate']));
    expect(await accountOf(key)).toEqual({ ...before, spent: before!.spent + 100 * Number(CENT) });
  });
});
