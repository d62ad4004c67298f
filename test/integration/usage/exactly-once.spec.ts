import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp } from '../../support/app.js';
import { untilSummedUp } from '../../support/summed-up.js';
import { asOwner } from '../../support/trail.js';

interface Sent {
  id: string;
  apiKeyId: string;
  requests: number;
  inputTokens: number;
  outputTokens: number;
  costCents: number;
  model?: string;
}

describe('Usage over two replicas', () => {
  let one: TestApp;
  let other: TestApp;
  let token: string;
  let keys: string[];

  beforeAll(async () => {
    one = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    other = await TestApp.start({}, one.database);
    token = await one.adminToken();
    keys = [];
    for (let index = 0; index < 4; index += 1)
      keys.push((await one.post('/api-keys', { token })).body.apiKey.id as string);
  });
  afterAll(async () => {
    await other.stop();
    await one.stop();
  });
  afterEach(async () => {
    expect([...(await reconcileUsage(one.dataSource)), ...(await reconcileBudgets(one.dataSource))]).toEqual([]);
  });

  const send = (app: TestApp, events: readonly unknown[]) => app.post('/usage', { token, body: { events } });
  const outcomes = (answers: readonly { body: { results: { id: string; outcome: string }[] } }[]) =>
    answers.flatMap(({ body }) => body.results.map(({ outcome }) => outcome));
  const totalsOf = async (id: string) =>
    (await one.get(`/api-keys/${id}`, { token })).body as {
      totalRequests: number;
      totalTokens: number;
      totalCostCents: number;
    };

  it('counts the same 300 events, sent three times at once in other orders, once', async () => {
    const before = await totalsOf(keys[0]!);
    const events = Array.from({ length: 300 }, (_, index) => ({
      id: `once-${index}`,
      apiKeyId: keys[index % 3]!,
      costCents: 0.01,
      model: `m${index % 5}`,
    }));
    const shuffled = (seed: number) =>
      [...events].sort(
        (a, b) =>
          ((a.id.length * 7919 + Number(a.id.slice(5)) * seed) % 101) -
          ((b.id.length * 7919 + Number(b.id.slice(5)) * seed) % 101),
      );
    // As callers do: a 503 is sent again under the same ids, whatever has become of it.
    let refusals = 0;
    const sendUntilHeard = async (app: TestApp, batch: readonly unknown[]) => {
      for (;;) {
        const answer = await send(app, batch);
        if (answer.status !== 503) return answer;
        refusals += 1;
      }
    };
    const answers = await Promise.all([
      sendUntilHeard(one, events),
      sendUntilHeard(other, shuffled(37)),
      sendUntilHeard(one, shuffled(61)),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(new Set(outcomes(answers))).toEqual(new Set(['accepted', 'duplicate']));
    const accepted = answers.flatMap(({ body }) =>
      (body.results as { id: string; outcome: string }[])
        .filter(({ outcome }) => outcome === 'accepted')
        .map(({ id }) => id),
    );
    expect(new Set(accepted).size).toBe(accepted.length);
    // Of what was refused once, some may have counted then.
    if (refusals === 0) expect(accepted).toHaveLength(300);
    expect((await totalsOf(keys[0]!)).totalRequests - before.totalRequests).toBe(100);
  });

  it('lets one of many contents under one id win, and tells every other', async () => {
    for (let round = 0; round < 10; round += 1) {
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          send(index % 2 ? one : other, [{ id: `contest-${round}`, apiKeyId: keys[0]!, costCents: index }]),
        ),
      );
      expect(outcomes(answers).sort()).toEqual(['accepted', ...Array.from({ length: 11 }, () => 'conflict')]);
      expect(answers.filter(({ status }) => status === 409)).toHaveLength(11);
    }
  });

  it('keeps totals = Σ events = Σ rollups after random traffic with repeats and conflicts', async () => {
    const accepted = new Map<string, Sent>();
    const before = await Promise.all(keys.map(totalsOf));
    const event = fc.record(
      {
        id: fc.integer({ min: 0, max: 150 }).map((id) => `random-${id}`),
        apiKeyId: fc.nat(3).map((index) => keys[index]!),
        requests: fc.integer({ min: 1, max: 3 }),
        inputTokens: fc.nat(2),
        outputTokens: fc.nat(2),
        costCents: fc.constantFrom(0, 0.000001, 0.5, 3),
        model: fc.constantFrom('a', 'b'),
      },
      { requiredKeys: ['id', 'apiKeyId', 'requests', 'inputTokens', 'outputTokens', 'costCents'] },
    );
    const batch = fc.array(event, { minLength: 1, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 8 }), async (batches) => {
        const answers = await Promise.all(batches.map((events, index) => send(index % 2 ? one : other, events)));
        for (const [index, { status, body }] of answers.entries()) {
          const results = body.results as { id: string; outcome: string }[];
          expect(status).toBe(results.some(({ outcome }) => outcome === 'conflict') ? 409 : 200);
          for (const [position, { outcome }] of results.entries()) {
            const sent = batches[index]![position]!;
            const name = `${sent.apiKeyId} ${sent.id}`;
            if (outcome === 'accepted') {
              expect(accepted.has(name)).toBe(false);
              accepted.set(name, sent);
            }
          }
        }
        for (const [index, { body }] of answers.entries()) {
          for (const [position, { outcome }] of (body.results as { outcome: string }[]).entries()) {
            const sent = batches[index]![position]!;
            const first = accepted.get(`${sent.apiKeyId} ${sent.id}`)!;
            const isSame = (['requests', 'inputTokens', 'outputTokens', 'costCents', 'model'] as const).every(
              (field) => first[field] === sent[field],
            );
            if (outcome !== 'accepted') expect(outcome).toBe(isSame ? 'duplicate' : 'conflict');
          }
        }
      }),
      { numRuns: 25 },
    );
    for (const [index, key] of keys.entries()) {
      const mine = [...accepted.values()].filter(({ apiKeyId }) => apiKeyId === key);
      const after = await totalsOf(key);
      expect(after.totalRequests - before[index]!.totalRequests).toBe(
        mine.reduce((sum, { requests }) => sum + requests, 0),
      );
      expect(after.totalTokens - before[index]!.totalTokens).toBe(
        mine.reduce((sum, { inputTokens, outputTokens }) => sum + inputTokens + outputTokens, 0),
      );
      const cost = mine.reduce((sum, { costCents }) => sum + Math.round(costCents * 1e6), 0);
      expect(Math.round((after.totalCostCents - before[index]!.totalCostCents) * 1e6)).toBe(cost);
    }
  });

  it('is found out when the books are wrong', async () => {
    const id = (await one.post('/api-keys', { token })).body.apiKey.id as string;
    await send(one, [{ id: 'a', apiKeyId: id, costCents: 5, model: 'm' }]);
    await untilSummedUp(one.dataSource);
    const broken = async (sql: string, undo: string) => {
      await asOwner(one.database, (client) => client.query(sql, [id]));
      const checks = (await reconcileUsage(one.dataSource)).map(({ check }) => check);
      await asOwner(one.database, (client) => client.query(undo, [id]));
      return checks;
    };
    expect(
      await broken(
        'UPDATE key_totals SET requests = requests + 1 WHERE key_id = $1',
        'UPDATE key_totals SET requests = requests - 1 WHERE key_id = $1',
      ),
    ).toEqual(['totals of keys = Σ events']);
    expect(
      await broken(
        `UPDATE usage_rollup_hour SET model = 'n' WHERE key_id = $1`,
        `UPDATE usage_rollup_hour SET model = 'm' WHERE key_id = $1`,
      ),
    ).toEqual(['hourly rollups = Σ events', 'hourly rollups = Σ events']);
    expect(
      await broken(
        `UPDATE usage_event SET event_id = 'b' WHERE key_id = $1`,
        `UPDATE usage_event SET event_id = 'a' WHERE key_id = $1`,
      ),
    ).toEqual(['every event has its id, every id one event', 'every event has its id, every id one event']);
  });
});
