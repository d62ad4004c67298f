import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { TestApp } from '../../support/app.js';
import { makeLimit } from '../../support/made-limits.js';

interface Account {
  id: string;
  amount: bigint;
  used: bigint;
}

const COUNT = 400;
const PAGE = 60;

/** A share of an amount, the greater the fuller; nothing fits into an amount of 0. */
const isAbove = ({ amount, used }: Account, percent: bigint): boolean =>
  amount === 0n ? 100n > percent : used * 100n > percent * amount;

/** The order of the list, by numbers that cannot be rounded. */
function byShare(one: Account, other: Account): number {
  const [left, right] = [shareOf(one), shareOf(other)];
  if (left !== right) return left > right ? -1 : 1;
  if (one.used !== other.used) return one.used > other.used ? -1 : 1;
  return one.id < other.id ? -1 : 1;
}
const FULL = 10n ** 20n;
const shareOf = ({ amount, used }: Account): bigint => (amount === 0n ? FULL : (used * FULL) / amount);

describe('Accounts in the order of what is used', () => {
  let app: TestApp;
  let admin: string;
  let names = 0;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  const make = async (fields: object) => {
    const { body } = await app.post('/projects', { token: admin, body: { name: `Project ${(names += 1)}` } });
    return makeLimit(app, admin, { target: { kind: 'project', id: body.id }, each: 'key', per: 'month', ...fields });
  };

  /**
   * Accounts as calls and reports leave them: inserted empty, then charged; some have an override, some of these have
   * ended, and some members with one have not called.
   */
  const fill = async (limitId: string, amount: bigint): Promise<Account[]> => {
    await app.dataSource.query(
      `WITH drawn AS (
         SELECT gen_random_uuid() AS id, n, floor(exp(random() * 20))::bigint AS used, random() AS dice FROM generate_series(1, $2::int) AS n
       ), opened AS (
         INSERT INTO budget_account (key_id, period, limit_id, member_id, ends_at)
         SELECT limit_account_id(l.id, d.id), p.name, l.id, d.id, p.ends_at
           FROM drawn d CROSS JOIN quota_limit l CROSS JOIN LATERAL limit_period_at(quota_clock(), l.per, l.time_zone) p
          WHERE l.id = $1 AND d.dice < 0.95 RETURNING key_id
       ) INSERT INTO quota_limit_override (limit_id, member_id, amount, until)
         SELECT $1, d.id, CASE WHEN d.n % 3 = 0 THEN 0 ELSE d.used END, CASE WHEN d.n % 5 = 0 THEN now() - interval '1 s' END
           FROM drawn d CROSS JOIN (SELECT count(*) FROM opened) AS o WHERE d.dice > 0.9`,
      [limitId, COUNT],
    );
    // Ties, and numbers beside each other that are in one step.
    await app.dataSource.query(
      `UPDATE budget_account SET spent_micro_cents = CASE get_byte(uuid_send(key_id), 0) % 4 WHEN 0 THEN 7 WHEN 1 THEN 1000000 + get_byte(uuid_send(key_id), 1)
          ELSE floor(exp(random() * 20))::bigint END, leased_micro_cents = get_byte(uuid_send(key_id), 2) WHERE limit_id = $1`,
      [limitId],
    );
    const rows = await app.dataSource.query<{ id: string; amount: string | null; spent: string; leased: string }[]>(
      `SELECT coalesce(a.member_id, o.member_id) AS id, f.amount, coalesce(a.spent_micro_cents, 0) AS spent, coalesce(a.leased_micro_cents, 0) AS leased
         FROM (SELECT * FROM budget_account WHERE limit_id = $1) AS a
         FULL JOIN (SELECT * FROM quota_limit_override WHERE limit_id = $1) AS o ON o.member_id = a.member_id
         LEFT JOIN quota_limit_override f ON f.limit_id = $1 AND f.member_id = o.member_id AND (f.until IS NULL OR f.until > now())`,
      [limitId],
    );
    const { unit } = (await app.get(`/limits/${limitId}`, { token: admin })).body;
    return rows.map(({ id, amount: own, spent, leased }) => ({
      ...{ id, amount: own === null ? amount : BigInt(own) },
      used: unit === 'requests' ? BigInt(spent) + BigInt(leased) : BigInt(spent),
    }));
  };

  /**
   * Windows of an hour. Where they are stale, some has left three quarters of them since they were written, so that
   * their rows say more than counts. Something counts in each: others are swept.
   */
  const fillWindows =
    (isStale: boolean) =>
    async (limitId: string, amount: bigint): Promise<Account[]> => {
      const drawn = Array.from({ length: COUNT }, (_, n) => ({
        id: randomUUID(),
        left: !isStale || n % 4 === 0 ? 0 : Math.floor(Math.exp(Math.random() * 16)),
        used: n % 9 === 0 ? 1 : n % 7 === 0 ? 7 : Math.floor(Math.exp(Math.random() * 16)),
        own: n % 10 === 0 ? (n % 30 === 0 ? 0 : 1 + (n % 50)) : null,
        hasEnded: n % 50 === 0,
      }));
      const column = (name: keyof (typeof drawn)[number]) => drawn.map((one) => one[name]);
      await app.dataSource.query(
        `WITH opened AS (
         INSERT INTO rate_window (key_id, at_ms, sums, minute_cells, hour_cells, day_cells, limit_id, member_id)
         SELECT limit_account_id($1, d.id), c.ms - 1200000, ARRAY[0, d.gone + d.used, 0], '{}',
                ARRAY(SELECT (c.ms / 60000 - b.age) << 32 | b.permits FROM (VALUES (80, d.gone), (20, d.used)) AS b (age, permits)
                       WHERE b.permits > 0 ORDER BY b.age DESC), '{}', $1, d.id
           FROM unnest($2::uuid[], $3::int[], $4::int[]) AS d (id, gone, used) CROSS JOIN (SELECT quota_ms(quota_clock()) AS ms) AS c
       ) INSERT INTO quota_limit_override (limit_id, member_id, amount, until)
         SELECT $1, d.id, d.own, CASE WHEN d.has_ended THEN now() - interval '1 s' END
           FROM unnest($2::uuid[], $5::int[], $6::boolean[]) AS d (id, own, has_ended) WHERE d.own IS NOT NULL`,
        [limitId, column('id'), column('left'), column('used'), column('own'), column('hasEnded')],
      );
      return drawn.map(({ id, used, own, hasEnded }) => ({
        ...{ id, used: BigInt(used) },
        amount: own === null || hasEnded ? amount : BigInt(own),
      }));
    };

  const read = async (limitId: string, query: string): Promise<string[]> => {
    const found: string[] = [];
    let cursor: string | null = null;
    do {
      const path = `/limits/${limitId}/accounts?size=${PAGE}${query}${cursor === null ? '' : `&cursor=${cursor}`}`;
      const { status, body } = await app.get(path, { token: admin });
      expect(status).toBe(200);
      found.push(...body.data.map(({ member }: { member: { id: string } }) => member.id));
      cursor = body.meta.nextCursor;
    } while (cursor !== null);
    return found;
  };

  const perHour = { unit: 'requests', per: 'hour', amountCents: undefined };
  it.each([
    ['requests by hour', { ...perHour, amount: 50_000 }, 50_000n, fillWindows(true)],
    ['requests by hour that all count', { ...perHour, amount: 50_000 }, 50_000n, fillWindows(false)],
    ['requests by hour, of which there are none', { ...perHour, amount: 0 }, 0n, fillWindows(true)],
    ['cents that are enforced', { amountCents: 50 }, 50_000_000n, fill],
    ['requests', { unit: 'requests', amountCents: undefined, amount: 1_000_000 }, 1_000_000n, fill],
    ['tokens that are observed', { unit: 'tokens', amountCents: undefined, amount: 3, mode: 'observe' }, 3n, fill],
    ['cents of which there are none', { amountCents: 0 }, 0n, fill],
  ])('are exact: %s', async (_, fields, amount, fillWith) => {
    const limit = await make(fields);
    const accounts = (await fillWith(limit.id, amount)).sort(byShare);
    expect(await read(limit.id, '')).toEqual(accounts.map(({ id }) => id));
    expect(await read(limit.id, '&sort=member')).toEqual(accounts.map(({ id }) => id).sort());
    const { fullest } = (await app.get(`/limits/${limit.id}`, { token: admin })).body;
    expect(fullest.member.id).toBe(accounts[0]!.id);
    for (const percent of [0n, 3n, 99n, 100n, 2500n]) {
      const above = accounts.filter((account) => isAbove(account, percent));
      expect(await read(limit.id, `&usedAbove=${percent}`)).toEqual(above.map(({ id }) => id));
      expect(await read(limit.id, `&sort=member&usedAbove=${percent}`)).toEqual(above.map(({ id }) => id).sort());
      const { body } = await app.get(`/limits/${limit.id}/accounts?size=1&usedAbove=${percent}`, { token: admin });
      expect(body.meta.total).toBe(above.length);
      const limits = (await app.get(`/limits?id=${limit.id}&usedAbove=${percent}`, { token: admin })).body.data;
      expect(limits).toHaveLength(above.length > 0 ? 1 : 0);
    }
    // Of an amount of 0 it is the number of keys, and this project has none.
    const isCounted = limit.mode === 'enforce' && amount > 0n;
    const dry = await app.patch(`/limits/${limit.id}?dryRun=true`, { token: admin, body: { name: 'Other' } });
    expect(dry.body.exhaustedCount).toBe(isCounted ? accounts.filter((one) => one.used >= one.amount).length : 0);
  });

  it('have windows of more tokens than a row sums up', async () => {
    const { id } = await make({ unit: 'tokens', per: 'minute', amountCents: undefined, amount: 1_000_000_000 });
    const members = Array.from({ length: 3 }, () => randomUUID());
    // As `token_windows_end` leaves them: 2·10⁹ in a bucket, and in the sum, at the most.
    await app.dataSource.query(
      `INSERT INTO rate_window (key_id, at_ms, sums, minute_cells, hour_cells, day_cells, limit_id, member_id)
       SELECT limit_account_id($1, m.id), c.ms, ARRAY[2000000000, 0, 0],
              ARRAY(SELECT (c.ms / 2000 - g) << 32 | 2000000000 FROM generate_series(m.buckets, 1, -1) AS g), '{}', '{}', $1, m.id
         FROM unnest($2::uuid[]) WITH ORDINALITY AS m (id, buckets) CROSS JOIN (SELECT quota_ms(quota_clock()) AS ms) AS c`,
      [id, members],
    );
    const { body } = await app.get(`/limits/${id}/accounts?size=2`, { token: admin });
    const shown = body.data.map((one: { member: { id: string }; used: number }) => [one.member.id, one.used]);
    expect(shown).toEqual([
      [members[2], 6_000_000_000],
      [members[1], 4_000_000_000],
    ]);
    expect((await app.get(`/limits?id=${id}&usedAbove=500`, { token: admin })).body.data).toHaveLength(1);
  });

  it('follow a change of the amount at once, also where no member has called since', async () => {
    const limit = await make({ amountCents: 100 });
    const accounts = await fill(limit.id, 100_000_000n);
    await app.patch(`/limits/${limit.id}`, { token: admin, body: { amountCents: 1 } });
    const changed = accounts
      .map((one) => (one.amount === 100_000_000n ? { ...one, amount: 1_000_000n } : one))
      .sort(byShare);
    expect(await read(limit.id, '')).toEqual(changed.map(({ id }) => id));
    const dry = await app.patch(`/limits/${limit.id}?dryRun=true`, { token: admin, body: { name: 'Other' } });
    expect(dry.body.exhaustedCount).toBe(changed.filter(({ amount, used }) => used >= amount).length);
    const { body } = await app.get(`/limits/${limit.id}/accounts?size=1`, { token: admin });
    expect(body.meta.total).toBe(COUNT);
  });

  it('move with each charge and return of a member, and of no other account', async () => {
    const limit = await make({ amountCents: 100 });
    const steps = () =>
      app.dataSource.query<{ wrong: number; steps: number }[]>(
        `SELECT count(*) FILTER (WHERE a.used_step IS DISTINCT FROM limit_used_step(CASE WHEN l.unit IN ('requests', 'slots')
              THEN a.spent_micro_cents + a.leased_micro_cents ELSE a.spent_micro_cents END))::int AS wrong, count(DISTINCT used_step)::int AS steps
           FROM budget_account a JOIN quota_limit l ON l.id = a.limit_id WHERE a.member_id IS NOT NULL`,
      );
    await fill(limit.id, 100_000_000n);
    const [all] = await steps();
    expect(all!.wrong).toBe(0);
    expect(all!.steps).toBeGreaterThan(20);
    const [others] = await app.dataSource.query<{ count: number }[]>(
      'SELECT count(used_step)::int AS count FROM budget_account WHERE member_id IS NULL',
    );
    expect(others!.count).toBe(0);
  });
});
