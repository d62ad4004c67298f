import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { migrate } from '../../../src/database/migrate.js';
import { ProofDatabase } from '../../proofs/harness/cluster.js';
import { type Answer, TestApp } from '../../support/app.js';

/** Of the order of an attempt to connect; G20 measures it. */
const MAX_RECOVERY_MS = 10_000;
/** A check of the health gives up long before, and a statement would take as long. */
const HANGS_MS = 5_000;

describe('while PostgreSQL is away', () => {
  let database: ProofDatabase;
  let app: TestApp;
  let token: string;
  const escaped: unknown[] = [];
  const note = (error: unknown) => escaped.push(error);

  beforeAll(async () => {
    process.on('uncaughtException', note);
    process.on('unhandledRejection', note);
    database = await ProofDatabase.start();
    await migrate(database.ownerUrl);
    app = await TestApp.start(
      { MAX_ACTIVE_KEYS: '100000', MAX_STALENESS_SECONDS: '6' },
      { ownerUrl: database.ownerUrl, appUrl: database.appUrl, drop: async () => undefined },
    );
    token = await app.adminToken();
  });
  afterAll(async () => {
    await app.stop();
    await database.stop();
    process.off('uncaughtException', note);
    process.off('unhandledRejection', note);
  });

  /** The first answer of ready for which `isIt` holds; 15 s at most. */
  const ready = async (isIt: (answer: Answer) => boolean): Promise<Answer> => {
    for (const deadline = performance.now() + 15_000; ; await sleep(50)) {
      const answer = await app.get('//health/ready');
      if (isIt(answer) || performance.now() > deadline) return answer;
    }
  };

  it('every answer is a whole success or a 503 that says when to come again, and no error escapes', async () => {
    const answers: Answer[] = [];
    let running = true;
    const load = Array.from({ length: 8 }, async () => {
      while (running) answers.push(await app.post('/api-keys', { token }));
    });
    for (let round = 0; round < 10; round += 1) {
      await sleep(50);
      await database.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'latchkey'`,
      );
    }
    running = false;
    await Promise.all(load);
    const created = answers.filter(({ status }) => status === 201);
    // A connection that is lost in the middle of COMMIT leaves a create that may or may not be there.
    const unknown = answers.filter(({ body }) => body.code === 'OUTCOME_UNKNOWN');
    const refused = answers.filter(({ status, body }) => status !== 201 && body.code !== 'OUTCOME_UNKNOWN');
    expect(
      refused
        .filter(
          ({ status, body, headers }) =>
            status !== 503 || body.code !== 'UNAVAILABLE' || headers.get('retry-after') === null,
        )
        .map(({ body }) => body),
    ).toEqual([]);
    expect(unknown.filter(({ status, headers }) => status !== 503 || headers.get('retry-after') !== null)).toEqual([]);
    const [row] = await database.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM api_key WHERE id = ANY($1)',
      [created.map(({ body }) => body.apiKey.id)],
    );
    expect(row!.count).toBe(created.length);
    expect(escaped).toEqual([]);
  });

  it('requests are 503, live is 200, ready turns 503 only when data is stale, and work goes on when it is back', async () => {
    database.kill();
    await sleep(100);
    const refused = await app.post('/api-keys', { token });
    expect([refused.status, refused.body.code]).toEqual([503, 'UNAVAILABLE']);
    expect((await app.get('//health/live')).status).toBe(200);
    expect((await app.get('//health/ready')).status).toBe(200);
    const degraded = await ready(({ status, body }) => status !== 200 || body.details.feed.status === 'degraded');
    expect([degraded.status, degraded.body.details.feed.status]).toEqual([200, 'degraded']);
    const stale = await ready((answer) => answer.status !== 200);
    expect([stale.status, stale.body.code, stale.body.state, stale.headers.get('content-type')]).toEqual([
      503,
      'NOT_READY',
      'stale',
      'application/problem+json; charset=utf-8',
    ]);

    await database.restart();
    const back = performance.now();
    for (;;) {
      if ((await app.post('/api-keys', { token })).status === 201) break;
      await sleep(20);
    }
    expect(performance.now() - back).toBeLessThan(MAX_RECOVERY_MS);
    expect((await ready((answer) => answer.body.status === 'ok')).status).toBe(200);
    expect(escaped).toEqual([]);
  });

  it('a database that hangs makes ready slow, but not hang', async () => {
    await database.pause();
    const started = performance.now();
    const { status } = await app.get('//health/ready');
    expect([200, 503]).toContain(status);
    expect(performance.now() - started).toBeLessThan(HANGS_MS);
    database.resume();
  });
});
