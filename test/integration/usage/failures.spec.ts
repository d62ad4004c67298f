import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { dataSource } from '../../../src/database/data-source.js';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { untilSummedUp } from '../../support/summed-up.js';

/** A trigger on `usage_event` that misbehaves for events of 13 requests. */
const FAULT = `
  CREATE FUNCTION usage_fault() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF NEW.requests <> 13 THEN RETURN NEW; END IF;
    CASE (SELECT kind FROM usage_fault_kind)
      WHEN 'check' THEN RAISE EXCEPTION 'thirteen' USING ERRCODE = 'check_violation', CONSTRAINT = 'no_thirteen';
      WHEN 'moved' THEN IF nextval('usage_fault_seq') <= 1 THEN RAISE EXCEPTION 'violates partition constraint' USING ERRCODE = 'check_violation'; END IF;
      WHEN 'deadlock' THEN IF nextval('usage_fault_seq') <= 2 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF;
      WHEN 'die' THEN IF nextval('usage_fault_seq') <= 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
      WHEN 'hang' THEN IF nextval('usage_fault_seq') <= 1 THEN PERFORM pg_sleep(6); END IF;
      ELSE NULL;
    END CASE;
    RETURN NEW;
  END $$`;

/** Less than what hangs takes to go on. */
const HANGS_MS = 5_000;

describe('When the database refuses, dies or hangs', () => {
  let app: TestApp;
  let owner: DataSource;
  let token: string;
  let healthy: string;
  let sick: string;
  let round = 0;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    owner = await dataSource(app.database.ownerUrl, { max: 2 }).initialize();
    for (const statement of [
      'CREATE TABLE usage_fault_kind (kind text)',
      `INSERT INTO usage_fault_kind VALUES ('none')`,
      'CREATE SEQUENCE usage_fault_seq',
      'GRANT SELECT ON usage_fault_kind TO latchkey_app',
      'GRANT USAGE ON usage_fault_seq TO latchkey_app',
      FAULT,
      'CREATE TRIGGER usage_fault BEFORE INSERT ON usage_event FOR EACH ROW EXECUTE FUNCTION usage_fault()',
    ]) {
      await owner.query(statement);
    }
    token = await app.adminToken();
    healthy = (await app.post('/api-keys', { token })).body.apiKey.id;
  });
  afterAll(async () => {
    await owner.destroy();
    await app.stop();
  });
  afterEach(async () => {
    await owner.query(`UPDATE usage_fault_kind SET kind = 'none'`);
    expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
  });

  const breakWith = async (kind: string) => {
    sick = (await app.post('/api-keys', { token })).body.apiKey.id;
    round += 1;
    await owner.query(`SELECT setval('usage_fault_seq', 1, false)`);
    await owner.query('UPDATE usage_fault_kind SET kind = $1', [kind]);
  };
  const send = (...events: unknown[]) => app.post('/usage', { token, body: { events } });
  const totalOf = async (id: string) => (await app.get(`/api-keys/${id}`, { token })).body.totalRequests as number;

  it('fails one refused event alone, loudly, and books the other hundred', async () => {
    await breakWith('check');
    const before = await totalOf(healthy);
    const others = Array.from({ length: 100 }, (_, index) => ({ id: `ok-${round}-${index}`, apiKeyId: healthy }));
    const { status, body } = await send(
      ...others.slice(0, 37),
      { id: 'bad', apiKeyId: sick, requests: 13 },
      ...others.slice(37),
    );
    expect([status, body.code, body.accepted]).toEqual([409, 'USAGE_CONFLICT', 100]);
    expect(body.results[37]).toEqual({ id: 'bad', outcome: 'refused' });
    expect([await totalOf(healthy), await totalOf(sick)]).toEqual([before + 100, 0]);
  });

  it('leaves the id of a refused event free for a better one', async () => {
    await breakWith('check');
    await send({ id: 'again', apiKeyId: sick, requests: 13 });
    expect((await send({ id: 'again', apiKeyId: sick, requests: 12 })).body.accepted).toBe(1);
  });

  it('decides twins of a refused event by themselves', async () => {
    await breakWith('check');
    const { body } = await send(...[13, 13, 5, 13].map((requests) => ({ id: 'twin', apiKeyId: sick, requests })));
    expect(body.results.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
      'refused',
      'refused',
      'accepted',
      'conflict',
    ]);
  });

  it('accepts what a total at its end can count no further, as it does the rest', async () => {
    await breakWith('none');
    await owner.query(`UPDATE key_totals SET cost_micro_cents = 9223372036854775807 WHERE key_id = $1`, [sick]);
    const { body } = await send(
      { id: 'over', apiKeyId: sick, costCents: 1 },
      { id: `fine-${round}`, apiKeyId: healthy },
    );
    expect(body.results.map(({ outcome }: { outcome: string }) => outcome)).toEqual(['accepted', 'accepted']);
    expect((await app.get(`/api-keys/${sick}`, { token })).body.totalCostCents).toBe(9223372036854.775);
    await untilSummedUp(owner);
    await owner.query('UPDATE key_totals SET cost_micro_cents = 1000000 WHERE key_id = $1', [sick]);
  });

  it('runs a batch again after deadlocks', async () => {
    await breakWith('deadlock');
    expect(await send({ id: 'dl', apiKeyId: sick, requests: 13 })).toMatchObject({
      status: 200,
      body: { accepted: 1 },
    });
    expect(await totalOf(sick)).toBe(13);
  });

  it('tries again when its partition was made just then', async () => {
    await breakWith('moved');
    expect((await send({ id: 'moved', apiKeyId: sick, requests: 13 })).body.accepted).toBe(1);
  });

  it('answers 503 when the connection dies, and counts the event once when it is sent again', async () => {
    await breakWith('die');
    const event = { id: 'die', apiKeyId: sick, requests: 13 };
    const { status, body, headers } = await send(event);
    expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'UNAVAILABLE', '1']);
    // The pool may hand out the connection once more before it learns that its session is gone.
    await eventually(async () => expect((await send(event)).body.accepted).toBe(1));
    expect(await totalOf(sick)).toBe(13);
  });

  it('refuses at once what its queue cannot hold, gives up the rest in time, and counts all of it once in the end', async () => {
    await breakWith('none');
    const before = await totalOf(healthy);
    const requests = Array.from({ length: 14 }, (_, request) =>
      Array.from({ length: 1_000 }, (_event, index) => ({ id: `full-${request}-${index}`, apiKeyId: healthy })),
    );
    const blocker = owner.createQueryRunner();
    await blocker.startTransaction();
    await blocker.query('LOCK TABLE usage_id IN ACCESS EXCLUSIVE MODE');
    const answers = await Promise.all(
      requests.map(async (events) => {
        const { status, headers, body } = await send(...events);
        return { status, retryAfter: headers.get('retry-after'), detail: body.detail as string };
      }),
    );
    await blocker.rollbackTransaction();
    await blocker.release();
    expect(answers.every(({ status, retryAfter }) => (status === 429 || status === 503) && retryAfter === '1')).toBe(
      true,
    );
    expect(answers.map(({ detail }) => detail)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^Too many of your (long )?reports /),
        'The books are not available at the moment. Send this report again.',
      ]),
    );
    for (const events of requests) {
      let answer = await send(...events);
      while (answer.status === 503 || answer.status === 429) answer = await send(...events);
      expect(answer.body.accepted + answer.body.duplicates).toBe(1_000);
    }
    expect(await totalOf(healthy)).toBe(before + 14_000);
  });

  it('answers 503 long before the database when it hangs, serves others meanwhile, and counts once in the end', async () => {
    await breakWith('hang');
    const event = { id: 'hang', apiKeyId: sick, requests: 13 };
    const startedAt = performance.now();
    const hanging = send(event);
    // What arrives in the same moment goes together; what comes later must not wait.
    while (
      (
        await owner.query<unknown[]>(
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`,
        )
      ).length === 0
    );
    const other = await send({ id: `meanwhile-${round}`, apiKeyId: healthy });
    expect(other.status).toBe(200);
    expect((await hanging).status).toBe(503);
    expect(performance.now() - startedAt).toBeLessThan(HANGS_MS);
    for (let answer = await send(event); ; answer = await send(event)) {
      if (answer.status !== 200) continue;
      expect(answer.body.accepted + answer.body.duplicates).toBe(1);
      break;
    }
    expect(await totalOf(sick)).toBe(13);
  });
});
