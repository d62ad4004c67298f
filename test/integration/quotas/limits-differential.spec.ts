import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { limitAccountId, limitSubjectId } from '../../../src/quotas/limits/account-id.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import { NO_LEASE } from '../../../src/quotas/quota-store.js';
import type { Account, AcquireAnswer, BudgetRequest, Hold } from '../../../src/quotas/quota-store.js';
import { type BookEntry, entryOf } from '../../../src/usage/usage-entry.js';
import { type BookRow, insertUsageStatement } from '../../../src/usage/usage-insert.js';
import { Random, uuidOf } from '../../simulation/random.js';
import { EACH, MODELS, SUBJECTS } from '../../simulation/limits/boundaries.js';
import type { KeyRow, LimitRow } from '../../simulation/limits/limit-rows.js';
import { LimitStoreModel } from '../../simulation/limits/limit-store-model.js';
import type { Report } from '../../simulation/limits/limit-store-rows.js';
import { insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const SEEDS = Number(process.env.DIFFERENTIAL_SEEDS ?? 10);
const STEPS = 110;
const CALLER = uuidOf(999_999_999);
const STARTS = ['2026-10-31T22:59:30Z', '2026-11-01T04:30:00Z', '2026-10-25T00:59:00Z', '2027-01-03T22:59:40Z'];
const ZONES = ['UTC', 'Europe/Berlin', 'America/Havana', 'Atlantic/Azores'];

/** What a call takes of accounts, by unit. */
type Takes = Record<LimitRow['unit'], bigint>;

interface Lease {
  readonly id: string;
  remaining: bigint;
  returns: number;
}

/** What a run has done: one in which nothing happens proves nothing. */
const NOTHING_DONE = { granted: 0, refused: 0, together: 0, settled: 0, late: 0, unreserved: 0, swept: 0, changed: 0 };
type Tally = typeof NOTHING_DONE;

/**
 * Random operations on limits, sent to PostgreSQL and to the model alike: rules that change, keys that move, acquires,
 * reports with and without reservations, returns, and clocks that pass ends of periods.
 */
class LimitTwins {
  readonly tally: Tally = { ...NOTHING_DONE };
  private readonly random: Random;
  private readonly model: LimitStoreModel;
  private readonly real: PostgresQuotaStore;
  private readonly owners: string[];
  private readonly projects: string[];
  private readonly leases: Lease[] = [];
  private readonly reserved: Report[] = [];
  private clock: number;
  private ids: number;

  constructor(
    seed: number,
    private readonly database: QuotaDatabase,
  ) {
    this.random = new Random(seed);
    this.ids = seed * 1_000_000;
    this.clock = Date.parse(this.random.pick(STARTS));
    this.model = new LimitStoreModel(() => this.clock);
    this.real = new PostgresQuotaStore(database.sql);
    this.owners = [this.newId(), this.newId()];
    this.projects = [this.newId(), this.newId()];
  }

  async run(): Promise<Tally> {
    await this.database.asOwner(
      'TRUNCATE budget_account, budget_lease, reservation_end, usage_event, usage_id, quota_limit, quota_limit_override, limit_subject, limit_subject_count',
      [],
    );
    await this.database.setClock(this.clock);
    for (const id of this.owners)
      await this.database.asOwner(`INSERT INTO users (id, name, kind) VALUES ($1, 'Owner', 'service')`, [id]);
    for (let count = 3; count > 0; count--) await this.createKey();
    for (let count = this.random.between(2, 5); count > 0; count--) await this.createLimit();
    for (let step = 0; step < STEPS; step++) {
      await this.step();
      if (step % 10 === 9) await this.compareTables();
    }
    await this.compareTables();
    return this.tally;
  }

  private newId(): string {
    return uuidOf(++this.ids);
  }

  private async step(): Promise<void> {
    const dice = this.random.next();
    if (dice < 0.35) return this.call();
    if (dice < 0.55) return this.report();
    if (dice < 0.63) return this.reportUnreserved();
    if (dice < 0.7) return this.giveBack();
    if (dice < 0.75) return this.close();
    if (dice < 0.88) return this.change();
    if (dice < 0.9) return this.sweep();
    const day = 86_400_000;
    this.clock += this.random.pick([1, 400, 2_000, 11_000, 66_000, 1_900_000, 1_900_000, day / 2, 9 * day, 40 * day]);
    await this.database.setClock(this.clock);
  }

  // ---- rules

  private async createKey(): Promise<void> {
    const { random } = this;
    const budget = random.chance(0.6) ? BigInt(random.pick([3_000, 30_000])) : null;
    const key: KeyRow = {
      ...{ id: this.newId(), ownerId: random.pick(this.owners), budget, type: 'total' as const },
      projectId: random.chance(0.8) ? random.pick(this.projects) : null,
    };
    this.model.createKey(key);
    await this.database.createKey(key.id, key.budget, key.type);
    await this.writeKey(key);
  }

  private writeKey({ id, ownerId, projectId }: KeyRow): Promise<unknown> {
    return this.database.asOwner('UPDATE api_key SET owner_id = $2, project_id = $3 WHERE id = $1', [
      ...[id, ownerId, projectId],
    ]);
  }

  private async createLimit(): Promise<void> {
    const { random } = this;
    const kind = random.pick(['key', 'owner', 'project', 'installation'] as const);
    const ids = { key: [...this.model.keys.keys()], owner: this.owners, project: this.projects, installation: [''] };
    const unit = random.pick(['cents', 'cents', 'tokens', 'requests'] as const);
    const each = random.pick(EACH[kind]);
    const per = random.pick(['day', 'day', 'week', 'month', 'total'] as const);
    const limit: LimitRow = {
      id: this.newId(),
      unit,
      target: { kind, id: random.pick(ids[kind]) },
      each,
      per: each === 'subject' && per === 'total' ? 'week' : per,
      timeZone: random.pick(ZONES),
      amount: BigInt(random.pick(unit === 'requests' ? [0, 20, 100, 20_000] : [0, 300, 2_000, 20_000])),
      models: random.chance(0.4) ? ['gpt'] : [],
      mode: random.chance(0.2) ? 'observe' : 'enforce',
      overrides: new Map(),
      isDeleted: false,
    };
    this.model.limits.set(limit.id, limit);
    const { kind: targetKind, id } = limit.target;
    await insertLimit(this.database.asOwner, { ...limit, targetKind, targetId: id === '' ? null : id });
  }

  private async change(): Promise<void> {
    const { random } = this;
    this.tally.changed++;
    if (random.chance(0.3)) {
      const key = random.pick([...this.model.keys.values()]);
      if (random.chance(0.5)) key.ownerId = random.pick(this.owners);
      else key.projectId = random.pick([...this.projects, null]);
      await this.writeKey(key);
      return;
    }
    const live = [...this.model.limits.values()].filter(({ isDeleted }) => !isDeleted);
    if (live.length === 0 || random.chance(0.15)) return this.createLimit();
    const limit = random.pick(live);
    if (random.chance(0.1)) {
      limit.isDeleted = true;
      await this.database.asOwner('UPDATE quota_limit SET ended_at = quota_clock() WHERE id = $1', [limit.id]);
    } else if (limit.each !== null && random.chance(0.6)) {
      const members = { key: [...this.model.keys.keys()], owner: this.owners, subject: SUBJECTS };
      await this.override(limit, random.pick(members[limit.each]));
    } else {
      limit.amount = BigInt(random.pick([0, 100, 1_000, 30_000]));
      await this.database.asOwner('UPDATE quota_limit SET amount = $2 WHERE id = $1', [limit.id, String(limit.amount)]);
    }
    this.model.changed(limit);
  }

  private async override(limit: LimitRow, member: string): Promise<void> {
    const { random } = this;
    const untilMs = random.chance(0.7) ? this.clock + random.pick([500, 3_000, 90_000]) : null;
    const amount = BigInt(random.pick([0, 5_000, 50_000]));
    limit.overrides.set(member, { amount, untilMs });
    await this.database.asOwner(
      `INSERT INTO quota_limit_override (limit_id, member_id, amount, until)
       VALUES ($1, $2, $3, to_timestamp($4::numeric / 1000))
       ON CONFLICT (limit_id, member_id) DO UPDATE SET amount = EXCLUDED.amount, until = EXCLUDED.until`,
      [limit.id, limit.each === 'subject' ? limitSubjectId(member) : member, amount.toString(), untilMs],
    );
  }

  // ---- calls

  /** As PostgreSQL knows it. The model names the account of a member by the limit and the member. */
  private accountOf(name: string): Account {
    const [limitId = '', member = null] = name.split('/');
    const limit = this.model.limits.get(limitId);
    if (limit === undefined) return { id: name, type: 'total' };
    const { unit, each } = limit;
    const subject = each === 'subject' && member !== null ? { subject: member } : {};
    const memberId = each === 'subject' && member !== null ? limitSubjectId(member) : member;
    const of = { id: limitId, member: memberId, ...(unit === 'cents' ? {} : { unit }), ...subject };
    return { id: limitAccountId(limitId, memberId), type: limit.per === 'total' ? 'total' : 'monthly', limit: of };
  }

  private async call(): Promise<void> {
    const { random } = this;
    const key = random.pick([...this.model.keys.values()]);
    const model = random.pick(MODELS);
    const names = this.model.accountsFor(this.model, key.id, model, random.pick(SUBJECTS));
    if (names.length === 0) return;
    const takes: Takes = {
      cents: BigInt(random.pick([0, 1, 7, 60, 700])),
      tokens: BigInt(random.pick([0, 1, 90, 500])),
      requests: BigInt(random.pick([1, 1, 5])),
    };
    const isOwn = random.chance(0.4);
    const asks = this.asksOf(names, takes, isOwn);
    const { budgets } = await this.acquire(asks);
    const isGranted = budgets.every(({ verdicts }) => verdicts[0] === true);
    this.tally[isGranted ? 'granted' : 'refused']++;
    if (asks.filter(({ needs }) => needs[0]!.joint === 1).length > 1) this.tally.together++;
    const drawn: { leaseId: string; amount: bigint }[] = [];
    const holds = budgets.flatMap(({ slice, period, verdicts }, index): Hold[] => {
      const ask = asks[index]!;
      if (slice > 0n) this.keep(ask.leaseId, slice);
      for (const [at, need] of ask.needs.entries())
        if (need.own !== null && verdicts[at] === true) this.keep(need.own.leaseId, need.amount);
      const { own, amount } = ask.needs[0]!;
      const leaseId = amount === 0n ? NO_LEASE : (own?.leaseId ?? ask.leaseId);
      if (amount > 0n) drawn.push({ leaseId, amount });
      return ask.kind === 'counted' ? [] : [{ accountId: ask.account.id, period, leaseId }];
    });
    if (!isGranted) return;
    for (const { leaseId, amount } of drawn) this.leases.find(({ id }) => id === leaseId)!.remaining -= amount;
    if (takes.cents + takes.tokens === 0n) return;
    this.reserved.push({
      ...{ kind: 'settle', keyId: key.id, reservationId: this.newId(), month: budgets[0]!.month, holds, model },
      ...{ reserved: takes.cents, amount: takes.cents, reservedTokens: takes.tokens, tokens: takes.tokens },
      ...{ settledBy: '', defaultHold: 0n, byRecord: [], subject: null },
    });
  }

  private unitOf(name: string): keyof Takes {
    return this.model.limits.get(name.split('/')[0] as string)?.unit ?? 'cents';
  }

  private asksOf(names: readonly string[], takes: Takes, isOwnCall: boolean): BudgetRequest[] {
    const { random } = this;
    const isOwnIn = (name: string) => isOwnCall && this.unitOf(name) !== 'requests' && takes[this.unitOf(name)] > 0n;
    const isTogether = names.filter(isOwnIn).length > 1;
    // A second call in the same statement, of a part of the accounts.
    const second = isTogether && random.chance(0.5) ? BigInt(random.pick([1, 200])) : null;
    return names.map((name, index): BudgetRequest => {
      const isOwn = isOwnIn(name);
      const own = () => (isOwn ? { leaseId: this.newId(), ttlSeconds: random.between(61, 1_800) } : null);
      const needs = [{ amount: takes[this.unitOf(name)], own: own(), ...(isOwn && isTogether ? { joint: 1 } : {}) }];
      if (second !== null && isOwn && index !== 0) needs.push({ amount: second, own: own(), joint: 2 });
      return {
        account: { id: name, type: 'monthly' },
        kind: this.unitOf(name) === 'requests' ? 'counted' : 'pooled',
        leaseId: this.newId(),
        want: BigInt(random.pick([0, 30, 4_000])),
        needs,
      };
    });
  }

  /** Asks both, and gives what they have answered alike. */
  private async acquire(asks: readonly BudgetRequest[]): Promise<AcquireAnswer> {
    const request = { replicaId: 'one', liveReplicas: this.random.between(1, 3), windows: [] };
    const expected = this.model.acquire({
      ...request,
      budgets: asks.map((ask) => ({ ...ask, account: { id: ask.account.id, type: 'total' as const } })),
    });
    const answer = await this.real.acquire({
      ...request,
      budgets: asks.map((ask) => ({ ...ask, account: this.accountOf(ask.account.id) })),
    });
    // Where an account never ends there is nothing to tell of its end.
    const seen = ({ budgets }: AcquireAnswer) =>
      budgets.map(({ monthEndsInMs, ...grant }) => ({
        ...grant,
        ends: grant.period === 'total' ? null : monthEndsInMs,
      }));
    expect(seen(answer)).toEqual(seen(expected));
    return expected;
  }

  private keep(id: string, remaining: bigint): void {
    this.leases.push({ id, remaining, returns: 0 });
  }

  private async report(): Promise<void> {
    const { random } = this;
    const old = this.reserved.length === 0 ? null : random.pick(this.reserved);
    if (old === null) return;
    if (random.chance(0.85)) this.reserved.splice(this.reserved.indexOf(old), 1);
    const kind = random.chance(0.2) ? 'release' : 'settle';
    const isExcess = random.chance(0.2);
    const part = (most: bigint | undefined) =>
      kind === 'release' ? 0n : BigInt(random.between(0, Number(most ?? 0n) * (isExcess ? 4 : 1)));
    const [amount, tokens] = [part(old.reserved), part(old.reservedTokens)];
    await this.settle({ ...old, kind, amount, tokens, settledBy: this.newId(), model: random.pick(MODELS) });
  }

  private async reportUnreserved(): Promise<void> {
    const { random } = this;
    this.tally.unreserved++;
    await this.settle({
      ...{
        kind: 'settle',
        keyId: random.pick([...this.model.keys.keys()]),
        reservationId: null,
        month: null,
        holds: [],
      },
      ...{ reserved: 0n, amount: BigInt(random.between(0, 900)), tokens: BigInt(random.between(0, 400)) },
      ...{ settledBy: this.newId(), defaultHold: 0n },
      ...{ model: random.pick(MODELS), subject: random.pick([null, ...SUBJECTS]), byRecord: [] },
    });
  }

  private async settle(one: Report): Promise<void> {
    const expected = this.model.settle(one);
    const { text, values } = insertUsageStatement([this.entryFor(one)], { defaultHold: 0n, ceiling: 10n ** 15n });
    const [row] = (await this.database.sql(text, values!)) as unknown as BookRow[];
    expect({
      outcome: row?.outcome ?? 'settled',
      late: row?.is_late ?? false,
      excess: BigInt(row?.excess ?? 0),
    }).toEqual(expected);
    if (expected.outcome === 'settled') this.tally.settled++;
    if (expected.late) this.tally.late++;
  }

  private entryFor(one: Report): BookEntry {
    const reservation =
      one.reservationId === null
        ? null
        : {
            ...{ keyId: one.keyId, reservationId: one.reservationId, callerId: CALLER },
            ...{ amount: one.reserved, tokens: one.reservedTokens ?? 0n },
            ...{ month: one.month ?? '', expiresAtMs: 0, isDefaultHold: false },
            holds: one.holds.map((hold) => ({ ...hold, accountId: this.accountOf(hold.accountId).id })),
          };
    if (one.kind === 'release') return { kind: 'release', reservation: reservation! };
    return entryOf(CALLER, {
      ...{ id: one.settledBy, keyId: one.keyId, reservation, requests: 1 },
      ...{ inputTokens: Number(one.tokens ?? 0n), outputTokens: 0 },
      ...{ costMicroCents: one.amount, model: one.model, chatbot: null, endpoint: null, statusCode: null },
      ...{ latencyMs: null, occurredAt: null, tags: [] },
      ...(one.subject === null ? {} : { subject: one.subject }),
    });
  }

  // ---- what ends leases and accounts

  private async giveBack(): Promise<void> {
    const lease = this.leases.length === 0 ? null : this.random.pick(this.leases);
    if (lease === null) return;
    const back = { leases: [{ leaseId: lease.id, number: ++lease.returns, amount: lease.remaining }], windows: [] };
    lease.remaining = 0n;
    this.model.giveBack(back);
    await this.real.giveBack(back);
  }

  private async close(): Promise<void> {
    const order = { beforeMs: this.clock, watchedMs: 2_000_000_000, limit: 1_000 };
    expect(await this.real.closeExpired(order)).toBe(this.model.closeExpired(order));
  }

  private async sweep(): Promise<void> {
    await this.close();
    await this.database.sql('SELECT limit_accounts_sweep(1000)', []);
    this.tally.swept += this.model.sweep();
    await this.compareTables();
  }

  private async compareTables(): Promise<void> {
    const accounts = await this.database.asOwner(
      `SELECT a.key_id, a.period, a.spent_micro_cents AS spent, a.leased_micro_cents AS leased,
              a.overdraft_micro_cents AS overdraft
         FROM budget_account a
        WHERE (a.limit_id IS NOT NULL OR a.period = 'total')
          AND a.spent_micro_cents + a.leased_micro_cents + a.overdraft_micro_cents > 0 ORDER BY 1, 2`,
      [],
    );
    // A limit that has ended goes with its last account; what is reported after that charges it no more.
    const ended = [...this.model.limits.values()].filter(({ isDeleted }) => isDeleted).map(({ id }) => id);
    const rows = await this.database.asOwner('SELECT id FROM quota_limit', []);
    const left = new Set(rows.map(({ id }) => id as string));
    const isGone = (name: string, period: string): boolean =>
      ended.some((id) => name.startsWith(id) && (period === 'total' || !left.has(id)));
    const expected = [...this.model.accounts.values()]
      .filter((one) => this.model.keys.get(one.accountId) === undefined || one.period.name === 'total')
      .filter((one) => one.spent + one.leased + one.overdraft > 0n)
      .filter((one) => !isGone(one.accountId, one.period.name))
      .map((one) => ({
        key_id: this.accountOf(one.accountId).id,
        period: one.period.name,
        spent: String(one.spent),
        leased: String(one.leased),
        overdraft: String(one.overdraft),
      }))
      .sort((one, other) => (`${one.key_id} ${one.period}` < `${other.key_id} ${other.period}` ? -1 : 1));
    const ofGone = new Set(
      [...this.model.accounts.values()]
        .filter((one) => isGone(one.accountId, one.period.name))
        .map((one) => `${this.accountOf(one.accountId).id} ${one.period.name}`),
    );
    expect(accounts.filter((one) => !ofGone.has(`${String(one.key_id)} ${String(one.period)}`))).toEqual(expected);
    const leases = await this.database.asOwner(
      `SELECT id, granted_micro_cents AS granted, settled_micro_cents AS settled, quota_ms(hold_until)::float8 AS until
         FROM budget_lease ORDER BY id`,
      [],
    );
    expect(leases).toEqual(
      [...this.model.leases.values()]
        .map(({ id, granted, settled, holdUntil }) => ({
          ...{ id, granted: String(granted), settled: String(settled), until: holdUntil },
        }))
        .sort((one, other) => (one.id < other.id ? -1 : 1)),
    );
  }
}

describe('PostgreSQL and the model of limits', () => {
  let database: QuotaDatabase;
  beforeAll(async () => (database = await createQuotaDatabase()));
  afterAll(() => database.drop());

  const total: Partial<Tally> = {};

  it.each(Array.from({ length: SEEDS }, (_, index) => index + 1))(
    'give the same answers and rows, seed %i',
    async (seed) => {
      const tally = await new LimitTwins(seed, database).run();
      for (const name of Object.keys(tally) as (keyof Tally)[]) total[name] = (total[name] ?? 0) + tally[name];
    },
  );

  it('were asked about everything', () => {
    const never = Object.entries(total).filter(([, count]) => count < SEEDS / 5);
    expect([never, Object.keys(total)]).toEqual([[], expect.arrayContaining(['granted', 'swept'])]);
  });

  it('name an account alike in SQL and in TypeScript', async () => {
    for (let index = 1; index <= 50; index++) {
      const [limit, member] = [uuidOf(index), index % 5 === 0 ? null : uuidOf(index * 7_919)];
      const [row] = await database.sql('SELECT limit_account_id($1, $2) AS id, limit_account_id_2($1, $2) AS inlined', [
        limit,
        member,
      ]);
      expect([row!.id, row!.inlined]).toEqual(Array(2).fill(limitAccountId(limit, member)));
    }
  });
});
