import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { FRESH_MS } from '../../../src/key-cache/feed/change-feed.js';
import { FeedService } from '../../../src/key-cache/feed/feed.service.js';
import { ReplicasService } from '../../../src/replicas/replicas.service.js';
import { TcpProxy } from '../../proofs/harness/tcp-proxy.js';
import { TestApp, type Answer } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { Management, type IssuedKey, issueKey, issueServiceKey } from '../../support/management.js';
import { type TestDatabase, createTestDatabase } from '../../support/postgres.js';

/** Short, so that the test sees both sides of it. */
const STALE_MAX_MS = 5_000;
/** Of the order of a poll and an attempt to connect; the figures are those of the experiments F05 and G20. */
const BACK_WITHIN_MS = 5_000;
/** Less than a statement may take. */
const REFUSED_WITHIN_MS = 4_000;
/** An attempt to reach a database that is away. */
const ATTEMPT_MS = 1_000;
/** Between the reading of an age and of the clock. */
const EDGE_MS = 50;

describe('POST /verify while PostgreSQL is away', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let app: TestApp;
  let near: TestApp;
  let admin: string;
  let service: string;
  let key: IssuedKey;

  beforeAll(async () => {
    database = await createTestDatabase();
    const url = new URL(database.appUrl);
    proxy = await TcpProxy.start(Number(url.port));
    url.port = String(proxy.port);
    // One replica behind the proxy, and one that stays in touch with the database and makes the changes.
    app = await TestApp.start(
      { MAX_STALENESS_SECONDS: String(STALE_MAX_MS / 1000) },
      { ...database, appUrl: url.href },
    );
    near = await TestApp.start(
      { MAX_STALENESS_SECONDS: String(STALE_MAX_MS / 1000), MAX_ACTIVE_KEYS: '1000' },
      database,
    );
    admin = await near.adminToken();
    service = (await issueServiceKey(near, admin)).secret;
    key = await issueKey(near, admin);
  });
  afterEach(async () => {
    proxy.setMode('pass');
    proxy.reset();
    await eventually(async () => expect((await verify(key)).body).toMatchObject({ code: 'VALID', degraded: false }));
  });
  afterAll(async () => {
    await app.stop();
    await near.stop();
    await proxy.stop();
    await database.drop();
  });

  const verify = async ({ secret }: IssuedKey) => app.post('/verify', { apiKey: service, body: { key: secret } });

  async function timed(ask: () => Promise<Answer>): Promise<Answer & { ms: number }> {
    const started = performance.now();
    const answer = await ask();
    return { ...answer, ms: performance.now() - started };
  }

  it.each(['refuse', 'silent'] as const)(
    'goes on from memory, degraded after 3 s, and refuses after STALE_MAX (%s)',
    async (mode) => {
      const unknown = await issueKey(near, admin);
      expect((await verify(key)).body.code).toBe('VALID');
      // How long memory is fresh depends on when the last poll was sent, and on nothing else.
      const feed = app.app.get(FeedService, { strict: false });
      proxy.setMode(mode);
      const away = performance.now();
      const ageMs = feed.ageMs!;
      const freshUntilMs = FRESH_MS - ageMs;
      const knownUntilMs = STALE_MAX_MS - ageMs;
      const seen: { atMs: number; status: number; degraded: unknown; ms: number }[] = [];
      while (performance.now() - away < STALE_MAX_MS + 2_000) {
        const { status, body, ms } = await timed(() => verify(key));
        seen.push({ atMs: performance.now() - away, status, degraded: body.degraded, ms });
        await sleep(50);
      }
      // A key that is not in memory cannot be decided; that is said soon enough.
      const cold = await timed(() => verify(unknown));
      expect(cold).toMatchObject({ status: 503, body: { code: 'UNAVAILABLE' } });
      expect(cold.headers.get('retry-after')).toBe('1');

      // Sent and answered in this time, and so decided in it, however slow the machine is.
      const within = (from: number, to: number) => seen.filter(({ atMs, ms }) => atMs - ms > from && atMs < to);
      expect(within(0, freshUntilMs - EDGE_MS).length).toBeGreaterThan(3);
      expect(
        within(0, freshUntilMs - EDGE_MS).every(({ status, degraded }) => status === 200 && degraded === false),
      ).toBe(true);
      const behind = within(freshUntilMs + EDGE_MS, knownUntilMs - EDGE_MS);
      expect(behind.every(({ status, degraded }) => status === 200 && degraded === true)).toBe(true);
      expect(behind.length).toBeGreaterThan(3);
      expect(within(knownUntilMs + EDGE_MS, Infinity).every(({ status }) => status === 503)).toBe(true);
      expect(Math.max(...seen.map(({ ms }) => ms), cold.ms)).toBeLessThan(REFUSED_WITHIN_MS);
      // Nobody waits for a database that is known to be away.
      const sorted = seen.map(({ ms }) => ms).sort((a, b) => a - b);
      expect(sorted[Math.floor(sorted.length * 0.9)]).toBeLessThan(ATTEMPT_MS);

      expect((await app.get('//health/ready')).status).toBe(503);
      expect((await app.get('//health/live')).status).toBe(200);
      proxy.setMode('pass');
      proxy.reset();
      const backMs = await eventually(async () =>
        expect((await verify(key)).body).toMatchObject({ code: 'VALID', degraded: false }),
      );
      expect(backMs).toBeLessThan(BACK_WITHIN_MS);
      await eventually(async () => expect((await app.get('//health/ready')).status).toBe(200));
    },
  );

  it('answers 503 soon to a key that is not in memory, at once and in a batch', async () => {
    const unknown = await issueKey(near, admin);
    await verify(key);
    proxy.setMode('silent');
    const cold = await timed(() => verify(unknown));
    expect(cold).toMatchObject({ status: 503, body: { code: 'UNAVAILABLE', retryAfterSeconds: 1 } });
    expect(cold.ms).toBeLessThan(REFUSED_WITHIN_MS);
    const batch = await timed(() =>
      app.post('/verify/batch', {
        apiKey: service,
        body: { items: [{ key: key.secret }, { key: unknown.secret }, { key: 'lk_live_short' }] },
      }),
    );
    expect(batch).toMatchObject({
      status: 200,
      body: {
        results: [
          { code: 'VALID' },
          { code: 'UNAVAILABLE', valid: false, retryAfterSeconds: 1 },
          { code: 'MALFORMED' },
        ],
      },
    });
    expect(batch.ms).toBeLessThan(REFUSED_WITHIN_MS);
  });

  it('acts on what was revoked in the meantime as soon as it is back', async () => {
    const victim = await issueKey(near, admin);
    expect((await verify(victim)).body.code).toBe('VALID');
    proxy.setMode('refuse');
    await new Management(near).revoke(victim.id);
    await sleep(300);
    expect((await verify(victim)).body.code).toBe('VALID');
    proxy.setMode('pass');
    expect(await eventually(async () => expect((await verify(victim)).body.code).toBe('REVOKED'))).toBeLessThan(
      BACK_WITHIN_MS,
    );
  });

  it('waits for a replica that is cut off no longer than that one may answer', async () => {
    const victim = await issueKey(near, admin);
    expect((await verify(victim)).body.code).toBe('VALID');
    proxy.setMode('silent');
    const ageMs = app.app.get(FeedService, { strict: false }).ageMs!;
    const started = performance.now();
    await near.app
      .get(ReplicasService, { strict: false })
      .waitUntilApplied(await new Management(near).revoke(victim.id));
    const waitedMs = performance.now() - started;
    expect((await verify(victim)).status).toBe(503);
    expect(waitedMs).toBeGreaterThan(STALE_MAX_MS - ageMs - 1_500);
    expect(waitedMs).toBeLessThan(2 * STALE_MAX_MS);
  });
});
