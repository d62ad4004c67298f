import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Hold, PermitClose, WindowAsk, WindowGrant } from '../../../src/quotas/quota-store.js';
import { WINDOW } from '../../../src/quotas/quota-store.js';
import { markOf } from '../../../src/quotas/token-windows.js';
import { Random, uuidOf } from '../../simulation/random.js';
import { TokenStoreModel } from '../../simulation/tokens/token-store-model.js';
import { insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const START = Date.parse('2026-11-10T12:00:00Z');
const EPOCH_DIGITS = 16;
/** What has to have happened in every run. */
const KINDS = ['ask', 'refill', 'close', 'first', 'late', 'settle', 'release', 'crash'];

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

  private call(name: string, ...values: unknown[]): Promise<string> {
    return callFunction(this.database, name, values);
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
    const grant = this.model.acquire({ replicaId: 'one', liveReplicas: 3, budgets: [], windows: [ask] })[0]!;
    const answer = await this.call(
      'quota_token_windows',
      ...[
        3,
        true,
        true,
        `{${id}}`,
        `{${id}}`,
        '{NULL}',
        '{1}',
        `{${ask.want}}`,
        `{${needs.length}}`,
        `{${needs.join()}}`,
      ],
      ...(closed === undefined
        ? ['{NULL}', '{NULL}', '{NULL}']
        : [
            `{${closed.inModel.bucket}}`,
            `{${closed.inModel.granted - closed.inModel.used}}`,
            `{${BigInt(`0x${closed.epoch}`)}}`,
          ]),
    );
    const [verdicts, permits, bucket, validForMs, free, , , shown, least, epoch] = answer.split(',');
    const expected = grant.verdicts.map((one) => (one === 'uncounted' ? '3' : Number(one))).join('');
    expect([step, verdicts, permits, bucket, validForMs, free, shown, least].map(String)).toEqual(
      [step, expected, grant.permits, grant.bucket, 1_000, grant.free, this.amount, this.amount].map(String),
    );
    expect(epoch).toHaveLength(EPOCH_DIGITS);
    if (closed !== undefined) this.held.splice(this.held.indexOf(closed), 1);
    this.keep(step, grant, epoch!);
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
    const hold: Hold = { accountId: id, period: WINDOW, leaseId: markOf(one.inModel.epoch!, one.inModel.bucket) };
    const kind = this.random.chance(0.3) ? 'release' : 'settle';
    const tokens = this.random.pick([0, one.reserved, Math.floor(one.reserved / 2), one.reserved + 3_000_000_000]);
    const before = this.model.ends.get(one.reservationId);
    const outcome = this.model.end({ kind, ...one, tokens, holds: [hold] });
    if (outcome === 'repeated') return;
    // What the statement that books a report is to ask for.
    const taken = before === 'release' ? 0 : kind === 'release' ? one.reserved : Math.max(0, one.reserved - tokens);
    const added = kind === 'release' ? 0 : before === 'release' ? tokens : Math.max(0, tokens - one.reserved);
    this.done.push(outcome, kind);
    if (taken + added === 0) return;
    await this.call(
      'token_windows_end',
      ...[
        `{${id}}`,
        `{${BigInt(`0x${one.epoch}`)}}`,
        `{${one.inModel.bucket}}`,
        `{${taken}}`,
        `{${added}}`,
        `{${id}}`,
        '{NULL}',
      ],
    );
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

async function callFunction(database: QuotaDatabase, name: string, values: unknown[]): Promise<string> {
  const places = values.map((_, index) => `$${index + 1}`).join();
  const [row] = await database.sql(`SELECT ${name}(${places}) AS answer`, values);
  return (row as { answer: string }).answer;
}

describe('Windows of tokens in PostgreSQL and in the model', () => {
  let database: QuotaDatabase;
  beforeAll(async () => {
    database = await createQuotaDatabase();
  });
  afterAll(() => database.drop());

  const call = (name: string, ...values: unknown[]): Promise<string> => callFunction(database, name, values);
  const limitOf = async (amount: bigint): Promise<string> => {
    for (const table of ['rate_window', 'quota_limit']) await database.asOwner(`DELETE FROM ${table}`, []);
    return (await insertLimit(database.asOwner, { unit: 'requests', per: 'minute', amount })).id;
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
    const grants = await Promise.all(
      Array.from({ length: 32 }, () =>
        call(
          'quota_token_windows',
          ...[
            1,
            true,
            true,
            `{${id}}`,
            `{${id}}`,
            '{NULL}',
            '{1}',
            '{0}',
            '{1}',
            '{100}',
            '{NULL}',
            '{NULL}',
            '{NULL}',
          ],
        ),
      ),
    );
    const granted = grants.filter((answer) => answer.startsWith('1,'));
    expect(granted).toHaveLength(10);
    // A crash of the test's clock would change the epoch: all of these have one.
    expect(new Set(granted.map((answer) => answer.split(',').at(-1))).size).toBe(1);
    const [, , bucket = '', , , , , , , epoch = ''] = granted[0]!.split(',');
    const end = ['{0}', `{${id}}`, '{NULL}'];
    await Promise.all(
      granted.map(() =>
        call('token_windows_end', ...[`{${id}}`, `{${BigInt(`0x${epoch}`)}}`, `{${bucket}}`, '{60}', ...end]),
      ),
    );
    const [row] = await database.asOwner('SELECT sums[1] AS sum FROM rate_window WHERE key_id = $1', [id]);
    expect(row).toEqual({ sum: 400 });
  });
});
