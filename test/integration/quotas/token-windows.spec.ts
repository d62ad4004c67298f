import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Hold, PermitClose, WindowAsk, WindowGrant } from '../../../src/quotas/quota-store.js';
import { WINDOW } from '../../../src/quotas/quota-store.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import { markOf } from '../../../src/quotas/token-windows.js';
import { Random, uuidOf } from '../../simulation/random.js';
import { TokenStoreModel } from '../../simulation/tokens/token-store-model.js';
import { insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const START = Date.parse('2026-11-10T12:00:00Z');
const KEY = '00000000-0000-7000-8000-0000000000aa';
const OWNER = '00000000-0000-7000-8000-000000000001';
/** What has to have happened in every run. */
const KINDS = ['ask', 'refill', 'close', 'first', 'late', 'repeated', 'settle', 'release', 'crash'];

/** A hold as either side names it. */
interface Held {
  readonly inModel: PermitClose;
  readonly epoch: string;
  readonly reservationId: string;
  readonly reserved: number;
}

/** The same random operations on both sides. */
class Differential {
  readonly done: string[] = [];
  private readonly held: Held[] = [];
  private readonly model: TokenStoreModel;
  private readonly store: PostgresQuotaStore;
  private nowMs = START;

  constructor(
    private readonly database: QuotaDatabase,
    private readonly random: Random,
    /** Of the limit, and of its account. */
    private readonly id: string,
    private readonly amount: number,
  ) {
    this.model = new TokenStoreModel(() => this.nowMs);
    this.model.amounts.set(id, amount);
    this.store = new PostgresQuotaStore(database.sql);
  }

  async step(step: number): Promise<void> {
    const dice = this.random.next();
    this.nowMs += this.random.pick([0, 30, 700, 2_500, 9_000]);
    if (dice > 0.97) this.nowMs -= this.random.pick([3_000, 20_000, 100_000]);
    await this.database.setClock(this.nowMs);
    if (dice < 0.5) return this.ask(step);
    if (dice < 0.9) return this.end();
    if (dice >= 0.95) return;
    this.done.push('crash');
    this.model.flush();
    this.model.crash(true);
    await this.database.asOwner('DELETE FROM quota_epoch', []);
  }

  private async ask(step: number): Promise<void> {
    const { id } = this;
    const closed = this.random.chance(0.3) ? this.held.at(this.random.between(0, 3)) : undefined;
    const needs = this.random.pick([
      [],
      [0],
      [this.amount / 10],
      [this.amount / 20, this.amount / 2, 0],
      [this.amount + 1],
    ]);
    const ask: WindowAsk = {
      ...{ id, window: 'minute', limit: this.amount, want: this.random.between(0, this.amount / 4), few: 0, needs },
      ...{ previous: closed?.inModel ?? null, of: { id, member: null, unit: 'tokens' } },
    };
    const isNew = !this.model.rows.has(id);
    // A refill makes no row in PostgreSQL: nothing waits for it.
    if (isNew && needs.length === 0) return;
    const request = { replicaId: OWNER, liveReplicas: 3, budgets: [], windows: [ask] };
    const [expected] = this.model.acquire(request);
    const inDatabase = { ...ask, previous: closed === undefined ? null : { ...closed.inModel, epoch: closed.epoch } };
    const [grant] = (await this.store.acquire({ ...request, windows: [inDatabase] })).windows;
    // Each side names its epochs, and the model does not say when to come again.
    const { epoch = '', resetMs, retryMs } = grant!;
    expect([step, grant]).toEqual([step, { ...expected, epoch, resetMs, retryMs }]);
    expect(epoch).toMatch(/^[0-9a-f]{16}$/);
    if (closed !== undefined) this.held.splice(this.held.indexOf(closed), 1);
    this.keep(step, expected!, epoch);
    this.done.push(needs.length === 0 ? 'refill' : 'ask', closed === undefined ? 'ask' : 'close');
    await this.isAlike();
  }

  private keep(step: number, { permits, bucket, epoch: inModel }: WindowGrant, epoch: string): void {
    if (permits === 0) return;
    const reserved = Math.max(1, Math.floor(permits / 2));
    const close = { bucket, granted: permits, used: reserved, epoch: inModel! };
    this.held.push({ inModel: close, epoch, reservationId: uuidOf(step), reserved });
  }

  private async end(): Promise<void> {
    const { id } = this;
    const one = this.random.pick(this.held);
    if (one === undefined) return;
    const kind = this.random.chance(0.3) ? 'release' : 'settle';
    const tokens = this.random.pick([0, one.reserved, Math.floor(one.reserved / 2), one.reserved + 3_000_000_000]);
    const holdOf = (epoch: string): Hold => ({
      ...{ accountId: id, period: WINDOW, leaseId: markOf(epoch, one.inModel.bucket) },
    });
    const outcome = this.model.end({ kind, ...one, tokens, holds: [holdOf(one.inModel.epoch!)] });
    const [result] = await this.store.settle([
      {
        ...{ kind, keyId: KEY, reservationId: one.reservationId, month: null, holds: [holdOf(one.epoch)] },
        ...{ reserved: 0n, amount: 0n, reservedTokens: BigInt(one.reserved), tokens: BigInt(tokens) },
        ...{ settledBy: `${this.done.length}`, defaultHold: 0n },
      },
    ]);
    this.done.push(outcome, kind);
    const isFirst = outcome !== 'repeated' && result!.outcome === (kind === 'settle' ? 'settled' : 'released');
    expect([outcome, isFirst, result!.late]).toEqual([outcome, outcome !== 'repeated', outcome === 'late']);
    await this.isAlike();
  }

  private async isAlike(): Promise<void> {
    const { id } = this;
    const rows = await this.database.asOwner(
      'SELECT minute_cells AS cells, at_ms AS at FROM rate_window WHERE key_id = $1',
      [id],
    );
    const row = rows[0] as { cells: string[]; at: string } | undefined;
    const inModel = this.model.rows.get(id);
    const cells = [...(inModel?.cells ?? [])].filter(([, count]) => count > 0).sort(([one], [other]) => one - other);
    const inDatabase = (row?.cells ?? []).map((cell) => [
      Number(BigInt(cell) >> 32n),
      Number(BigInt(cell) & 0xffffffffn),
    ]);
    expect(inDatabase).toEqual(cells);
    expect(row === undefined ? undefined : Number(row.at)).toEqual(inModel?.at);
  }
}

describe('Windows of tokens in PostgreSQL and in the model', () => {
  let database: QuotaDatabase;
  beforeAll(async () => {
    database = await createQuotaDatabase();
    await database.createKey(KEY, null, 'total');
  });
  afterAll(() => database.drop());

  const limitOf = async (amount: bigint): Promise<string> => {
    for (const table of ['rate_window', 'quota_limit', 'reservation_end'])
      await database.asOwner(`DELETE FROM ${table}`, []);
    return (await insertLimit(database.asOwner, { unit: 'tokens', per: 'minute', amount })).id;
  };

  it.each([1, 2, 3, 4])('give the same answers and count the same, seed %d', async (seed) => {
    const random = new Random(seed);
    const amount = random.pick([1_000, 1_000_000_000]);
    const both = new Differential(database, random, await limitOf(BigInt(amount)), amount);
    for (let step = 0; step < 120; step++) await both.step(step);
    expect([...new Set(both.done)].sort()).toEqual([...KINDS].sort());
  });

  it('count what is used at the same time, one after the other', async () => {
    await database.setClock(START);
    const id = await limitOf(1_000n);
    const store = new PostgresQuotaStore(database.sql);
    const ask: WindowAsk = {
      ...{ id, window: 'minute', limit: 0, want: 0, few: 0, needs: [100], previous: null },
      of: { id, member: null, unit: 'tokens' },
    };
    const request = { replicaId: OWNER, liveReplicas: 1, budgets: [], windows: [ask] };
    const grants = await Promise.all(Array.from({ length: 32 }, () => store.acquire(request)));
    const granted = grants.flatMap(({ windows: [one] }) => (one!.verdicts[0] === true ? [one!] : []));
    expect(granted).toHaveLength(10);
    // A crash of the test's clock would change the epoch: all of these have one.
    expect(new Set(granted.map(({ epoch }) => epoch)).size).toBe(1);
    const ends = granted.map(({ epoch, bucket }, index) => ({
      ...{ kind: 'settle' as const, keyId: KEY, reservationId: uuidOf(index), month: null, settledBy: 'one' },
      holds: [{ accountId: id, period: WINDOW, leaseId: markOf(epoch!, bucket) }],
      ...{ reserved: 0n, amount: 0n, reservedTokens: 100n, tokens: 40n, defaultHold: 0n },
    }));
    // Each by two replicas: the second is a repeat.
    await Promise.all([...ends, ...ends].map((one) => store.settle([one])));
    const [row] = await database.asOwner('SELECT sums[1] AS sum FROM rate_window WHERE key_id = $1', [id]);
    expect(row).toEqual({ sum: 400 });
  });

  it('take back what is not used of a lease in one statement with windows of requests', async () => {
    await database.setClock(START);
    const id = await limitOf(1_000n);
    const store = new PostgresQuotaStore(database.sql);
    const ofTokens = { id, window: 'minute' as const, of: { id, member: null, unit: 'tokens' as const } };
    const ofKey = { id: KEY, window: 'minute' as const };
    const common = { limit: 100, want: 0, few: 0, needs: [50], previous: null };
    const { windows } = await store.acquire({
      ...{ replicaId: OWNER, liveReplicas: 1, budgets: [] },
      windows: [
        { ...ofTokens, ...common },
        { ...ofKey, ...common },
      ],
    });
    expect(windows.map(({ verdicts, epoch }) => [verdicts, epoch === undefined])).toEqual([
      [[true], false],
      [[true], true],
    ]);
    const [tokens, requests] = windows.map(({ bucket, permits, epoch }) => ({
      ...{ bucket, granted: permits, used: 20 },
      ...(epoch === undefined ? {} : { epoch }),
    }));
    await store.giveBack({
      leases: [],
      windows: [
        { ...ofKey, ...requests! },
        { ...ofTokens, ...tokens! },
      ],
    });
    const rows = await database.asOwner('SELECT key_id AS id, sums[1] AS sum FROM rate_window', []);
    expect(new Map(rows.map(({ id: of, sum }) => [of, sum]))).toEqual(
      new Map([
        [id, 20],
        [KEY, 20],
      ]),
    );
  });
});
