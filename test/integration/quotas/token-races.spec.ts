import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { limitsMayBegin, misreadLimits } from '../../../src/database/older-replicas.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import { type Hold, SLOT, WINDOW, type WindowAsk, type WindowGrant } from '../../../src/quotas/quota-store.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { PostgresSlotStore } from '../../../src/quotas/slots/postgres-slot-store.js';
import type { Sql } from '../../../src/quotas/sql.js';
import { markOf } from '../../../src/quotas/token-windows.js';
import { type BookEntry, entryOf, type UsageReport } from '../../../src/usage/usage-entry.js';
import { insertUsageStatement } from '../../../src/usage/usage-insert.js';
import { Random } from '../../simulation/random.js';
import { eventually } from '../../support/eventually.js';
import { accountOfLimit, insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const START = Date.parse('2026-11-10T12:00:00Z');
const TERMS = { defaultHold: 0n, ceiling: 10n ** 15n };
const CALLER = randomUUID();
const AT_ONCE = 16;
const CALLS = 500;

/** A call that was let in. */
interface Call {
  readonly keyId: string;
  readonly tokens: number;
  readonly holds: readonly Hold[];
}

/** Limits that bind every call. */
interface Limits {
  readonly all: LimitRow;
  readonly each: LimitRow;
  readonly requests: LimitRow;
  readonly slots: LimitRow;
}

/** Calls that many make at once, and what the windows of tokens have to count of them. */
class Load {
  readonly expected: Map<string, number>;
  private readonly random = new Random(7);
  private readonly store: PostgresQuotaStore;
  private readonly slotStore: PostgresSlotStore;
  private left = CALLS;

  constructor(
    private readonly sql: Sql,
    private readonly keys: readonly string[],
    private readonly limits: Limits,
  ) {
    this.store = new PostgresQuotaStore(sql);
    this.slotStore = new PostgresSlotStore(sql);
    this.expected = new Map([
      [limits.all.id, 0],
      [limits.each.id, 0],
    ]);
  }

  /** One caller of several at once. */
  async run(): Promise<void> {
    const open: Call[] = [];
    while (this.left-- > 0) {
      const call = await this.admit(this.random.pick(this.keys), this.random.between(1, 900));
      if (call !== null) open.push(call);
      if (open.length < 3) continue;
      const unreserved = reportOf(this.random.pick(this.keys), { outputTokens: 7 });
      this.count(7);
      await this.book(this.shuffled([...open.splice(0, 2).map((one) => this.end(one)), unreserved]));
    }
  }

  private async admit(keyId: string, tokens: number): Promise<Call | null> {
    const { all, each, requests } = this.limits;
    const asks = this.shuffled([
      askOf(all, null, tokens),
      askOf(each, keyId, tokens),
      askOf(requests, null, 1),
      { id: keyId, window: 'minute' as const, limit: 1_000, want: 0, few: 0, needs: [1], previous: null },
    ]);
    const { windows } = await this.store.acquire({ replicaId: 'one', liveReplicas: 1, budgets: [], windows: asks });
    const granted = asks.flatMap((ask, index) =>
      ask.of?.unit === 'tokens' && windows[index]!.verdicts[0] === true ? [{ ask, grant: windows[index]! }] : [],
    );
    if (granted.length === 2) return this.admitted(keyId, tokens, granted);
    // Refused by one of them: what the other has granted goes back.
    const back = granted.map(({ ask: { id, of }, grant: { bucket, permits, epoch } }) => ({
      ...{ id, window: 'minute' as const, of, bucket, granted: permits, used: 0, epoch: epoch! },
    }));
    await this.store.giveBack({ leases: [], windows: back });
    return null;
  }

  private async admitted(
    keyId: string,
    tokens: number,
    granted: readonly { ask: WindowAsk; grant: WindowGrant }[],
  ): Promise<Call> {
    this.count(tokens);
    const { slots } = this.limits;
    const leaseId = randomUUID();
    const needs = [{ account: accountOfLimit(slots), leaseId }];
    await this.slotStore.take({ replicaId: 'one', calls: [{ ttlSeconds: 60, needs }] });
    const holds = granted.map(({ ask, grant: { epoch, bucket } }): Hold => ({
      ...{ accountId: ask.id, period: WINDOW, leaseId: markOf(epoch!, bucket) },
    }));
    return { keyId, tokens, holds: this.shuffled([...holds, { accountId: slots.id, period: SLOT, leaseId }]) };
  }

  private end({ keyId, tokens, holds }: Call): BookEntry {
    const reservation = {
      ...{ keyId, reservationId: randomUUID(), callerId: CALLER, amount: 0n, tokens: BigInt(tokens), holds },
      ...{ month: '2026-11-01', expiresAtMs: START + 60_000, isDefaultHold: false },
    };
    const used = this.random.pick([null, 0, Math.floor(tokens / 3), tokens + 5]);
    this.count((used ?? 0) - tokens);
    return used === null ? { kind: 'release', reservation } : reportOf(keyId, { reservation, inputTokens: used });
  }

  private async book(entries: readonly BookEntry[]): Promise<void> {
    const { text, values } = insertUsageStatement(entries, TERMS);
    await this.sql(text, values as unknown[]);
  }

  private count(tokens: number): void {
    for (const [id, sum] of this.expected) this.expected.set(id, sum + tokens);
  }

  private shuffled<Item>(items: readonly Item[]): Item[] {
    const placed = items.map((item) => ({ item, at: this.random.next() }));
    return placed.sort((one, other) => one.at - other.at).map(({ item }) => item);
  }
}

function askOf(limit: LimitRow, member: string | null, need: number): WindowAsk {
  const { id, limit: of } = accountOfLimit(limit, member);
  return { id, window: 'minute', limit: 0, want: 0, few: 0, needs: [need], previous: null, of };
}

function reportOf(keyId: string, given: Partial<UsageReport>): BookEntry {
  return entryOf(CALLER, {
    ...{ id: randomUUID(), keyId, reservation: null, requests: 1, inputTokens: 0, outputTokens: 0, costMicroCents: 0n },
    ...{ model: null, chatbot: null, endpoint: null, statusCode: null, latencyMs: null, occurredAt: null, tags: [] },
    ...given,
  });
}

describe('Windows of tokens, used by many at once', () => {
  let database: QuotaDatabase;

  beforeAll(async () => {
    database = await createQuotaDatabase();
    await database.setClock(START);
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    for (const table of ['rate_window', 'quota_limit', 'budget_lease'])
      await database.asOwner(`DELETE FROM ${table}`, []);
  });

  const create = (draft: Parameters<typeof insertLimit>[1]) => insertLimit(database.asOwner, draft);

  it('are locked in one order with keys, accounts and slots, and count what was used', async () => {
    const limits = {
      all: await create({ unit: 'tokens', per: 'minute', amount: 100_000n }),
      each: await create({ unit: 'tokens', per: 'minute', amount: 30_000n, each: 'key' }),
      requests: await create({ unit: 'requests', per: 'minute', amount: 1_000n }),
      slots: await create({ unit: 'slots', per: null, amount: 1_000n }),
    };
    const keys = [randomUUID(), randomUUID(), randomUUID()];
    for (const key of keys) await database.createKey(key, null, 'total');
    // A deadlock would be tried again, and nobody would see it.
    const failures: unknown[] = [];
    const sql: Sql = (text, values) =>
      database.sql(text, values).catch((error: unknown) => {
        failures.push(error);
        throw error;
      });
    const load = new Load(sql, keys, limits);
    await Promise.all(Array.from({ length: AT_ONCE }, () => load.run()));
    expect(failures).toEqual([]);
    const rows = await database.asOwner(
      `SELECT w.limit_id AS id, sum(w.sums[1])::integer AS sum
         FROM rate_window w JOIN quota_limit l ON l.id = w.limit_id AND l.unit = 'tokens' GROUP BY 1`,
      [],
    );
    expect(new Map(rows.map(({ id, sum }) => [id, sum]))).toEqual(load.expected);
    expect(load.expected.get(limits.all.id)).toBeGreaterThan(0);
  });

  it('are locked by nobody who waits for the first epoch after a crash', async () => {
    const draft = { unit: 'tokens', per: 'minute', amount: 1_000n } as const;
    const limits = [await create(draft), await create(draft)];
    const asks = limits.map((limit) => askOf(limit, null, 1));
    const store = new PostgresQuotaStore(database.sql);
    await store.acquire({ replicaId: 'one', liveReplicas: 1, budgets: [], windows: asks });
    await database.asOwner('DELETE FROM quota_epoch', []);
    const add = (of: LimitRow) => ({
      text: `SELECT token_windows_end(ARRAY[$1::uuid], '{}', '{}', ARRAY[0::bigint], ARRAY[7::bigint], ARRAY[$1::uuid], '{}')`,
      values: [of.id],
    });
    const [first, second] = [new Client(database.url), new Client(database.url)];
    await Promise.all([first.connect(), second.connect()]);
    try {
      // As a statement that changes both windows, the first one after the crash.
      await first.query('BEGIN');
      await first.query(add(limits[0]!));
      const { rows } = await second.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const added = second.query(add(limits[1]!));
      await eventually(async () =>
        expect(
          await database.asOwner('SELECT wait_event_type AS waits FROM pg_stat_activity WHERE pid = $1', [
            rows[0]!.pid,
          ]),
        ).toEqual([{ waits: 'Lock' }]),
      );
      await Promise.all([first.query(add(limits[1]!)).then(() => first.query('COMMIT')), added]);
    } finally {
      await Promise.all([first.end(), second.end()]);
    }
    const sums = await database.asOwner('SELECT sums[1] AS sum FROM rate_window ORDER BY 1', []);
    expect(sums).toEqual([{ sum: 8 }, { sum: 15 }]);
  });

  it('begin only where every replica knows them', async () => {
    const on = { query: (text: string) => database.asOwner(text, []) } as never;
    const kind = { unit: 'tokens', per: 'minute', each: null };
    const { id } = await create({ unit: 'tokens', per: 'minute', amount: 1n });
    expect([await limitsMayBegin(on, kind), await misreadLimits(on)]).toEqual([true, []]);
    const older = randomUUID();
    await database.asOwner('INSERT INTO replica (id, applied_seq, build_level) VALUES ($1, 0, 6)', [older]);
    expect(await limitsMayBegin(on, kind)).toBe(false);
    for (const other of [
      { ...kind, per: 'month' },
      { ...kind, unit: 'requests' },
    ])
      expect(await limitsMayBegin(on, other)).toBe(true);
    expect(await misreadLimits(on)).toEqual([{ id, name: 'limit', of: 'tokens by minute' }]);
    await database.asOwner('DELETE FROM replica WHERE id = $1', [older]);
  });
});
