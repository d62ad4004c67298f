import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type {
  AcquireRequest,
  BudgetRequest,
  GiveBack,
  Hold,
  Settlement,
  WindowAsk,
  WindowName,
} from '../../../src/quotas/quota-store.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import { RING_SHAPES, type RateRing } from '../../../src/quotas/rate-ring.js';
import { QuotaStoreModel, type Raise } from '../../simulation/quota-store-model.js';
import { Random, uuidOf } from '../../simulation/random.js';
import { createQuotaDatabase } from './quota-database.js';
import type { QuotaDatabase } from './quota-database.js';

const SEEDS = Number(process.env.DIFFERENTIAL_SEEDS ?? 12);
const STEPS = 120;
const START = Date.UTC(2026, 10, 30, 23, 57);
const NAMES: WindowName[] = ['minute', 'hour', 'day'];

/** Random operations, sent to PostgreSQL and to the model alike. */
class Twins {
  private readonly random: Random;
  private readonly model: QuotaStoreModel;
  private readonly real: PostgresQuotaStore;
  private readonly keys: string[];
  private readonly leases: { id: string; hold: Hold; size: bigint; month: string; numbers: number }[] = [];
  private readonly permits: { id: string; window: WindowName; bucket: number; granted: number }[] = [];
  private readonly past: Settlement[] = [];
  private clock = START;
  private ids: number;

  constructor(
    seed: number,
    private readonly database: QuotaDatabase,
  ) {
    this.random = new Random(seed);
    this.ids = seed * 1_000_000;
    this.model = new QuotaStoreModel(() => this.clock);
    this.real = new PostgresQuotaStore(database.sql);
    this.keys = [0, 1, 2].map(() => this.newId());
  }

  async run(): Promise<void> {
    await this.database.asOwner('TRUNCATE budget_account, budget_lease, reservation_end, rate_window', []);
    await this.database.setClock(this.clock);
    for (const key of this.keys) {
      const limit = this.random.chance(0.15) ? null : BigInt(this.random.between(0, 3_000));
      const type = this.random.pick(['total', 'monthly'] as const);
      await this.database.createKey(key, limit, type);
      this.model.createKey(key, limit, type);
    }
    for (let step = 0; step < STEPS; step++) {
      await this.step();
      if (step % 10 === 9) await this.compareTables();
    }
    await this.compareTables();
  }

  private newId(): string {
    return uuidOf(++this.ids);
  }

  private async step(): Promise<void> {
    const dice = this.random.next();
    if (dice < 0.35) return this.acquire();
    if (dice < 0.5) return this.giveBack();
    if (dice < 0.75) return this.settle();
    if (dice < 0.82) return this.close();
    if (dice < 0.88) return this.patch();
    this.clock += this.random.pick([1, 300, 1_500, 2_000, 11_000, 66_000, 3_700_000, -4_000, -3_800_000]);
    await this.database.setClock(this.clock);
  }

  private async acquire(): Promise<void> {
    const { random } = this;
    const budgets = Array.from({ length: random.between(0, 3) }, (): BudgetRequest => {
      const needs = Array.from({ length: random.between(1, 4) }, () => ({
        amount: BigInt(random.pick([0, 1, 7, 60, 700])),
        own: random.chance(0.25) ? { leaseId: this.newId(), ttlSeconds: random.between(61, 1_800) } : null,
      })).map((need) => (need.amount === 0n ? { ...need, own: null } : need));
      const id = random.chance(0.05) ? this.newId() : random.pick(this.keys);
      const type = random.pick(['total', 'monthly'] as const);
      return {
        account: { id, type },
        kind: random.pick(['pooled', 'pooled', 'default'] as const),
        leaseId: this.newId(),
        want: BigInt(random.pick([0, 30, 400])),
        needs,
      };
    });
    const windows = Array.from({ length: random.between(0, 4) }, (): WindowAsk => {
      const previous = random.chance(0.5)
        ? this.permits.splice(random.between(0, this.permits.length), 1)[0]
        : undefined;
      return {
        id: previous?.id ?? random.pick(this.keys),
        window: previous?.window ?? random.pick(NAMES),
        limit: random.pick([1, 10, 60, 500]),
        want: random.pick([0, 5, 50]),
        few: random.pick([0, 0, 3, 20]),
        needs: Array.from({ length: random.between(0, 3) }, () => random.between(1, 6)),
        previous: previous ? { ...closeOf(previous), used: random.between(0, previous.granted) } : null,
      };
    });
    const request: AcquireRequest = { replicaId: 'one', liveReplicas: random.between(1, 3), budgets, windows };
    // Windows are worked through by key, and looks after what takes.
    const looks = (ask: BudgetRequest): number => Number(ask.needs.every(({ amount }) => amount === 0n));
    budgets.sort((a, b) => looks(a) - looks(b));
    const sorted = { ...request, windows: [...windows].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)) };
    const expected = this.model.acquire(sorted);
    const answer = await this.real.acquire(sorted);
    expect(answer).toEqual(expected);
    expected.budgets.forEach((grant, index) => {
      const ask = budgets[index] as BudgetRequest;
      const keep = (id: string, size: bigint): void => {
        this.leases.push({
          id,
          hold: { accountId: ask.account.id, period: grant.period, leaseId: id },
          size,
          month: grant.month,
          numbers: 0,
        });
      };
      if (grant.slice > 0n) keep(ask.leaseId, grant.slice);
      ask.needs.forEach((need, at) => need.own && grant.verdicts[at] && keep(need.own.leaseId, need.amount));
    });
    expected.windows.forEach(({ permits, bucket }, index) => {
      const ask = sorted.windows[index] as WindowAsk;
      if (permits > 0) this.permits.push({ id: ask.id, window: ask.window, bucket, granted: permits });
    });
  }

  private async giveBack(): Promise<void> {
    const { random } = this;
    const picked = [
      ...new Set(
        Array.from({ length: random.between(0, 3) }, () => this.leases[random.between(0, this.leases.length)]),
      ),
    ];
    const leases = picked.flatMap((lease) => {
      if (lease === undefined) return [];
      if (random.chance(0.8)) lease.numbers++;
      const amount = random.chance(0.2) ? null : BigInt(random.between(0, Number(lease.size)));
      return [{ leaseId: lease.id, number: Math.max(1, lease.numbers), amount }];
    });
    const windows = this.permits
      .splice(0, random.between(0, 2))
      .map((one) => ({ ...one, used: random.between(0, one.granted) }));
    const back: GiveBack = { leases, windows: windows.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)) };
    this.model.giveBack(back);
    await this.real.giveBack(back);
  }

  private async settle(): Promise<void> {
    const { random } = this;
    const batch = Array.from({ length: random.between(1, 5) }, (): Settlement => {
      if (this.past.length > 0 && random.chance(0.25)) {
        const old = random.pick(this.past);
        const kind = random.pick(['settle', 'release'] as const);
        return {
          ...old,
          kind,
          amount: kind === 'release' ? 0n : old.amount,
          settledBy: random.chance(0.5) ? old.settledBy : this.newId(),
        };
      }
      const lease = random.chance(0.8) ? this.leases[random.between(0, this.leases.length)] : undefined;
      const kind = lease && random.chance(0.2) ? 'release' : 'settle';
      // Of a closed lease: anything, it is late.
      const most = !lease ? 0n : this.model.leases.has(lease.id) ? this.openOf(lease.id) : lease.size;
      const reserved = BigInt(random.between(0, Number(most)));
      const one: Settlement = {
        kind,
        keyId: lease?.hold.accountId ?? (random.chance(0.05) ? this.newId() : random.pick(this.keys)),
        reservationId: lease ? this.newId() : null,
        month: lease?.month ?? null,
        holds: lease ? [lease.hold] : [],
        reserved,
        amount:
          kind === 'release' ? 0n : BigInt(random.between(0, random.chance(0.2) ? 2_000 : Number(reserved) || 50)),
        settledBy: this.newId(),
        defaultHold: lease ? 0n : BigInt(random.pick([0, 0, 5, 40])),
      };
      this.reserved.set(lease?.id ?? '', (this.reserved.get(lease?.id ?? '') ?? 0n) + reserved);
      if (one.reservationId !== null) this.past.push(one);
      return one;
    });
    this.reserved.clear();
    const unique = batch.filter(
      (one, index) =>
        one.reservationId === null || batch.findIndex((other) => other.reservationId === one.reservationId) === index,
    );
    expect(await this.real.settle(unique)).toEqual(this.model.settle(unique));
  }

  private readonly reserved = new Map<string, bigint>();

  /** What reservations of this lease may still take; default leases belong to those who did not reserve. */
  private openOf(id: string): bigint {
    const lease = this.model.leases.get(id);
    if (lease === undefined || lease.kind === 'default') return 0n;
    return lease.granted - lease.settled - (this.reserved.get(id) ?? 0n);
  }

  private async close(): Promise<void> {
    const order = {
      beforeMs: this.clock + this.random.pick([-30_000, 0, 10_000]),
      watchedMs: this.random.pick([20_000, 75_000, 2_000_000]),
      limit: 100,
    };
    expect(await this.real.closeExpired(order)).toEqual(this.model.closeExpired(order));
    const future = (await this.real.findFuture(100)).sort((a, b) => (a.id < b.id ? -1 : 1));
    expect(future).toEqual(this.model.findFuture(100).sort((a, b) => (a.id < b.id ? -1 : 1)));
    const some = future.slice(1).map(({ id }) => id);
    expect(await this.real.closeFuture(some)).toEqual(this.model.closeFuture(some));
  }

  private async patch(): Promise<void> {
    const key = this.random.pick(this.keys);
    const limit = this.random.chance(0.2) ? null : BigInt(this.random.between(0, 4_000));
    const type = this.random.pick(['total', 'monthly'] as const);
    const raise = this.random.chance(0.4)
      ? null
      : {
          amount: BigInt(this.random.between(1, 3_000)),
          until: this.clock + this.random.pick([-1, 200, 3_000, 90_000]),
        };
    await this.database.asOwner(
      'UPDATE api_key SET budget_limit_micro_cents = $2, budget_type = $3, budget_raise = $4 WHERE id = $1',
      [key, limit?.toString() ?? null, limit === null ? null : type, raise === null ? null : stored(raise)],
    );
    this.model.patch(key, limit, type, raise);
  }

  private async compareTables(): Promise<void> {
    const accounts = await this.database.asOwner(
      `SELECT key_id, period, limit_micro_cents AS limit, spent_micro_cents AS spent, leased_micro_cents AS leased,
         overdraft_micro_cents AS overdraft, floor_micro_cents AS floor,
         raise_micro_cents AS raise, quota_ms(raise_until)::float8 AS until
       FROM budget_account WHERE key_id = ANY ($1) ORDER BY key_id, period`,
      [this.keys],
    );
    const text = (value: bigint | null): string | null => value?.toString() ?? null;
    const byName = (a: { keyId: string; period: string }, b: { keyId: string; period: string }): number =>
      `${a.keyId}${a.period}` < `${b.keyId}${b.period}` ? -1 : 1;
    expect(accounts).toEqual(
      [...this.model.accounts.values()].sort(byName).map((one) => ({
        key_id: one.keyId, period: one.period, limit: text(one.limit), spent: text(one.spent), leased: text(one.leased),
        overdraft: text(one.overdraft), floor: text(one.floor),
        raise: text(one.raise?.amount ?? null), until: one.raise?.until ?? null,
      }))); // prettier-ignore
    const leases = await this.database.asOwner(
      `SELECT id, kind, granted_micro_cents AS granted, settled_micro_cents AS settled, return_count AS returns, quota_ms(hold_until)::float8 AS until
       FROM budget_lease WHERE key_id = ANY ($1) ORDER BY id`,
      [this.keys],
    );
    expect(leases).toEqual(
      [...this.model.leases.values()].sort((a, b) => (a.id < b.id ? -1 : 1)).map((one) => ({
        id: one.id, kind: one.kind, granted: text(one.granted), settled: text(one.settled), returns: one.returns,
        until: one.holdUntil,
      }))); // prettier-ignore
    const rows = await this.database.asOwner('SELECT * FROM rate_window WHERE key_id = ANY ($1) ORDER BY key_id', [
      this.keys,
    ]);
    expect(rows).toEqual(
      [...this.model.rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, row]) => ({
        key_id: id, limit_id: null, member_id: null, epoch: null, started: null,
        at_ms: String(row.at), sums: NAMES.map((name) => row.rings[name].sum),
        minute_cells: cellsOf(row.rings.minute, 'minute'), hour_cells: cellsOf(row.rings.hour, 'hour'),
        day_cells: cellsOf(row.rings.day, 'day'),
      }))); // prettier-ignore
  }
}

function closeOf({ bucket, granted }: { bucket: number; granted: number }): { bucket: number; granted: number } {
  return { bucket, granted };
}

/** A raise as the row of a key has it. */
function stored({ amount, until }: Raise): string {
  return JSON.stringify({ cents: Number(amount) / 1_000_000, until: new Date(until).toISOString(), reason: null });
}

/** The buckets of a ring that count any, oldest first, as the table lists them. */
function cellsOf({ head, cells }: RateRing, window: WindowName): string[] {
  const oldest = head - RING_SHAPES[window].lengthMs / RING_SHAPES[window].bucketMs;
  return cells
    .map((_, index) => oldest + index)
    .flatMap((bucket) => {
      const count = cells[bucket % cells.length] ?? 0;
      return count === 0 ? [] : [String((BigInt(bucket) << 32n) + BigInt(count))];
    });
}

describe('PostgreSQL and the model of the store', () => {
  let database: QuotaDatabase;
  beforeAll(async () => {
    database = await createQuotaDatabase();
  });
  afterAll(() => database.drop());

  it.each(Array.from({ length: SEEDS }, (_, index) => index + 1))(
    'give the same answers and rows, seed %i',
    async (seed) => {
      await new Twins(seed, database).run();
    },
  );
});
