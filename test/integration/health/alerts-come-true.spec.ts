import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Checkpoints } from '../../../src/audit/checkpoints.js';
import { Clock } from '../../../src/common/clock.js';
import { LimitUsageWatch } from '../../../src/limits/limit-usage-watch.js';
import { TableWatch } from '../../../src/integrity/table-watch.js';
import { VerdictCounter } from '../../../src/usage/verdict-counter.js';
import { hashingSlots } from '../../../src/users/hashing-slots.js';
import { TcpProxy } from '../../proofs/harness/tcp-proxy.js';
import { AlertWatch } from '../../support/alert-watch.js';
import { ADMIN, TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { TestProvider } from '../../support/key-set.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';
import { makeKey, type TestKey } from '../../support/made-keys.js';
import { makeLimit } from '../../support/made-limits.js';
import { hasData, panelQueries } from '../../support/panels.js';
import { alertRules, hasPromtool } from '../../support/prometheus.js';
import { setUpFactor, wrongCode } from '../../support/second-factor.js';
import { asOwner } from '../../support/trail.js';
import { breakByOwner, forgeEntry, lockTable, loseRevocation } from './broken-by-its-owner.js';
import { EmbeddedServer } from './embedded-server.js';
import { freePort } from '../../support/free-port.js';

const TOKEN = 'metrics-0123456789abcdefghijklmnopqrstuvwxyz';
const PATIENCE_MS = 120_000;
/** More than an alert takes for a flood. */
const FLOOD = 1_500;
/** Of a bound of 128 in flight and as many that wait. */
const MORE_THAN_FIT = 300;

/** What half a minute after its cause is the case: it is caused first. */
const SLOW = [
  'LatchkeyTrailEntriesLost',
  'LatchkeySecretVersionMissing',
  'LatchkeyImportedKeysUnknown',
  'LatchkeyUsageNotSummedUp',
];

/** Panels that have nothing to show of the first server: it has no embedded PostgreSQL, and fails only later. */
const NOT_EMBEDDED = 'latchkey-replicas, Starts of the embedded PostgreSQL';
const NO_FAILURE = 'latchkey-service, Requests answered with 5xx';

const hasPrometheus = hasPromtool() && spawnSync('prometheus', ['--version']).status === 0;

const withPrometheus = hasPrometheus ? describe : describe.skip;

withPrometheus('Each alert', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let directory: string;
  let provider: TestProvider;
  let app: TestApp;
  let embedded: EmbeddedServer | null = null;
  let watch: AlertWatch;
  let token: string;
  let gateway: { id: string; secret: string };
  /** Queries of dashboards that have had no data yet. */
  let dark = panelQueries('30s');

  beforeAll(async () => {
    database = await createTestDatabase();
    directory = await mkdtemp(join(tmpdir(), 'latchkey-alerts-'));
    embedded = await EmbeddedServer.start({ METRICS_TOKEN: TOKEN });
    await asOwner(database, (client) =>
      client.query(
        `INSERT INTO usage_event (received_at, key_id, caller_id, event_id, month, requests, input_tokens, output_tokens, cost_micro_cents)
         VALUES (now() - interval '1 year', gen_random_uuid(), gen_random_uuid(), 'old', '2020-01-01', 1, 0, 0, 0)`,
      ),
    );
    provider = await TestProvider.start();
    proxy = await TcpProxy.start(Number(new URL(database.appUrl).port));
    for (const name of ['denylist', 'not-a-directory']) await writeFile(join(directory, name), '');
    app = await TestApp.start(
      {
        ...provider.variables,
        METRICS_TOKEN: TOKEN,
        DENYLIST_FILE: join(directory, 'denylist'),
        AUDIT_COPY_FILE: join(directory, 'copy'),
        AUDIT_CHECKPOINT_FILE: join(directory, 'checkpoints'),
        AUDIT_KEEP_MONTHS: '2',
        AUDIT_ARCHIVE_DIR: join(directory, 'not-a-directory'),
        USAGE_EVENTS_KEEP_MONTHS: '2',
        USAGE_ARCHIVE_DIR: join(directory, 'not-a-directory'),
        MANAGEMENT_RATE_PER_MINUTE: '60',
        AUDIT_SYSLOG_URL: `tcp://127.0.0.1:${await freePort()}`,
        TRACES_URL: `http://127.0.0.1:${await freePort()}`,
        TRACES_SAMPLE_RATIO: '1',
      },
      through(database, proxy),
    );
    token = await app.adminToken();
    const body = { roles: ['gateway'], budgetLimitCents: 100, budgetType: 'total' };
    const made = await app.post('/api-keys', { token, body });
    expect(made.status).toBe(201);
    gateway = { id: made.body.apiKey.id, secret: made.body.secretKey };
    watch = await AlertWatch.start(directory, TOKEN);
    await watch.add(app.baseUrl);
  }, PATIENCE_MS);
  afterAll(async () => {
    watch?.stop();
    await embedded?.stop();
    await proxy.stop();
    await provider.stop();
    await database.drop();
    await rm(directory, { recursive: true, force: true });
  });

  /** Asks what panels show now. */
  const lookAtPanels = async () => {
    const asked = await Promise.all(dark.map(async (query) => ((await hasData(watch.url, query)) ? [] : [query])));
    dark = asked.flat();
  };
  const verify = (body: object = {}) =>
    app.post('/verify', { apiKey: gateway.secret, body: { key: gateway.secret, ...body } });
  const report = (...events: object[]) => app.post('/usage', { apiKey: gateway.secret, body: { events } });
  const signIn = (body: object, at = app) => at.post('/auth/login', { body });
  /** Calls of every kind that dashboards show, those that are refused included. */
  const call = async (turn: number, limited: string) => {
    const apiKey = gateway.secret;
    const { reservation } = (await verify({ reserveCents: 1, ttlSeconds: 60 })).body;
    const { id: reservationId } = reservation ?? {};
    await Promise.all([
      verify({}),
      verify({ key: 'sk_live_nothing' }),
      verify({ key: limited, estimatedCents: 5 }),
      app.post('/reservations/renew', { apiKey, body: { reservationId, ttlSeconds: 120 } }),
      report({ id: `c${turn}`, apiKeyId: gateway.id, reservationId }),
      app.get('/users', { apiKey }),
      app.get('/roles', {}),
      signIn({ email: 'nobody@latchkey.test', password: 'guessed' }),
    ]);
  };
  let limited: TestKey;
  let own: TestKey;

  it('finds a server that every panel of the dashboards has data of, but for what does not happen there', async () => {
    limited = await makeKey(app, token);
    await makeLimit(app, token, { amountCents: 1, target: { kind: 'key', id: limited.id } });
    let turn = 0;
    await eventually(async () => {
      await call((turn += 1), limited.secret);
      await lookAtPanels();
      // A server that is busy may have answered one with 503 by now.
      expect(dark.map(({ where }) => where).filter((where) => where !== NO_FAILURE)).toEqual([NOT_EMBEDDED]);
    }, PATIENCE_MS);
  }, 240_000);

  it('that tells of functions comes true on a live server that lacks rights, and of rows that others wrote', async () => {
    const user = await app.addUser(['creator']);
    own = await makeKey(app, user.token);
    const imported = { sha256: createHash('sha256').update('sk-of-before').digest('hex'), prefix: 'sk-of-bef' };
    expect((await app.post('/api-keys/import', { token, body: { keys: [imported] } })).status).toBe(200);
    await app.dataSource.query(`UPDATE users SET password_binding = sha256('x') WHERE id = $1`, [user.id]);
    await breakByOwner(database, app);
    await app.app.get(TableWatch, { strict: false }).pass();
    await watch.untilTrue(
      [
        'LatchkeyTablesNotCompared',
        'LatchkeyRowsDiffer',
        'LatchkeyRefusedCallsNotKept',
        'LatchkeyTrailNotRecorded',
        'LatchkeySignInsNotShared',
        'LatchkeyCredentialNotBound',
        'LatchkeyProviderTokensRefused',
        'LatchkeyTracesLost',
      ],
      async () => {
        await signIn({ email: user.email, password: user.password });
        await app.get('/auth/me', { token: provider.token({ events: {} }) });
        await app.get('/api-keys', { token: user.token });
        await verify({ key: own.secret, scopes: ['none'] });
        await report({ id: randomUUID(), apiKeyId: gateway.id });
      },
    );
  }, 240_000);

  it('that tells of passwords, and of a replica that stands still, comes true on a live server', async () => {
    const { secret } = await setUpFactor(app, token, ADMIN.password);
    const code = await wrongCode(app, secret);
    const { email, password } = ADMIN;
    let turn = 0;
    await watch.untilTrue(['LatchkeyPasswordKnown', 'LatchkeyReplicaStandsStill'], async () => {
      turn += 1;
      // Of 20 failures of an account, more are refused before they are looked at.
      if (turn <= 12) await signIn({ email, password, code });
      const untilMs = performance.now() + 1_000;
      while (performance.now() < untilMs);
    });
    // As passwords that are being checked: both of the places for that are taken meanwhile.
    let free = (): void => undefined;
    const taken = new Promise<void>((resolve) => (free = resolve));
    const holders = [0, 1].map(() => hashingSlots.run('known', () => taken));
    const guesses = Array.from({ length: 40 }, (_, n) =>
      signIn({ email: `nobody-${n}@latchkey.test`, password: 'guessed' }),
    );
    await watch.untilTrue(['LatchkeySignInsWait']).finally(free);
    await Promise.all([...holders, ...guesses]);
    await watch.untilTrue(['LatchkeyPasswordsGuessed'], () =>
      Promise.all(
        Array.from({ length: 60 }, (_, n) => signIn({ email: `nobody-${n}@latchkey.test`, password: 'guessed' })),
      ),
    );
  }, 240_000);

  it('that tells of a file comes true on a live server: denylist, copy, checkpoints, archive, and one replica alone', async () => {
    for (const name of ['denylist', 'copy', 'checkpoints']) {
      await rm(join(directory, name), { force: true });
      await mkdir(join(directory, name));
    }
    let made = 0;
    await watch.untilTrue(
      [
        'LatchkeyReplicasMissing',
        'LatchkeyTrailNotSealed',
        'LatchkeyUsageNotArchived',
        'LatchkeyDenylistNotRead',
        'LatchkeyAuditCopyBehind',
        'LatchkeyTrailNotAnchored',
        'LatchkeyAuditSyslogBehind',
      ],
      // What is to be written to the files.
      async () => (made += 1) < 20 && app.post('/api-keys', { token }),
    );
  }, 240_000);

  it('that tells of a limit comes true on a live server once it is used up and counted', async () => {
    expect((await report({ id: randomUUID(), apiKeyId: limited.id, costCents: 1 })).body.accepted).toBe(1);
    // As once a minute.
    await watch.untilTrue(['LatchkeyLimitNearEnd'], () => app.app.get(LimitUsageWatch, { strict: false }).count());
  }, 240_000);

  it('that tells of a flood comes true on a live server', async () => {
    let sent = 0;
    await watch.untilTrue(['LatchkeyManagementFlood'], async () => {
      if (sent > 4 * FLOOD) return;
      sent += 100;
      await Promise.all(Array.from({ length: 100 }, () => app.get('/api-keys', { token })));
    });
  }, 240_000);

  it('that tells of reports comes true on a live server while what they are booked into is locked', async () => {
    const { release } = await lockTable(database, 'usage_event');
    let id = 0;
    const events = (count: number) =>
      Array.from({ length: count }, () => ({ id: `r${(id += 1)}`, apiKeyId: gateway.id }));
    const waiting: Promise<unknown>[] = [];
    const many = () => {
      for (let batch = 0; batch < 6; batch += 1) waiting.push(report(...events(1_000)));
      return sleep(1_000);
    };
    await watch.untilTrue(['LatchkeyReportsPileUp', 'LatchkeyReportsFail'], many).finally(async () => {
      release();
      await Promise.allSettled(waiting);
    });
  }, 240_000);

  let slow: TcpProxy;
  let second: TestApp;
  let user: TestUser;

  it('that tells of clocks, passwords and slow verifies comes true on a second replica with a moved clock', async () => {
    slow = await TcpProxy.start(Number(new URL(database.appUrl).port));
    const settings = { ...provider.variables, METRICS_TOKEN: TOKEN, MAX_IN_FLIGHT: '1024' };
    second = await TestApp.start(settings, through(database, slow));
    await watch.add(second.baseUrl);
    user = await second.addUser(['creator']);
    await setUpFactor(second, user.token, user.password);
    // Who has signed in within a second of it has typed the code.
    await second.dataSource.query(`UPDATE users SET last_sign_in_at = now() - interval '1 hour' WHERE id = $1`, [
      user.id,
    ]);
    for (let turn = 0; turn < 3; turn += 1) await signIn({ email: user.email, password: user.password }, second);
    const clock = second.app.get(Clock);
    const [wallMs, monotonicMs] = [clock.wallMs.bind(clock), clock.monotonicMs.bind(clock)];
    // The host was suspended for longer than a person has for the code, and its clock was set wrong meanwhile.
    clock.monotonicMs = () => monotonicMs() + 301_000;
    clock.wallMs = () => wallMs() + 306_000;
    await watch.untilTrue(['LatchkeyClocksDiffer', 'LatchkeyPasswordWithoutCode']);
    const body = { budgetLimitCents: 100, budgetType: 'total' };
    const made: TestKey[] = [];
    // Few changes of one caller may wait for their turn.
    while (made.length < 10) made.push(await makeKey(second, user.token, body));
    slow.setLatency(100);
    await watch.untilTrue(['LatchkeyVerifiesSlow'], () =>
      Promise.all(
        made.map(({ secret }) =>
          second.post('/verify', { apiKey: gateway.secret, body: { key: secret, reserveCents: 20 } }),
        ),
      ),
    );
    slow.setLatency(0);
  }, 240_000);

  it('that tells of load comes true on a second replica while tables are locked', async () => {
    const keys = await lockTable(database, 'api_key', 'ACCESS EXCLUSIVE');
    await watch
      .untilTrue(['LatchkeyPoolExhausted', 'LatchkeyRequestsWait', 'LatchkeyOverloaded'], () => {
        const sent = Array.from({ length: MORE_THAN_FIT }, () => second.get('/api-keys', { token: user.token }));
        return Promise.race([Promise.all(sent), sleep(2_000)]);
      })
      .finally(keys.release);
    const events = await lockTable(database, 'usage_event');
    const sent: Promise<unknown>[] = [];
    // One caller may have half of the places in flight.
    await watch
      .untilTrue(['LatchkeyReportsThrottled'], () => {
        const body = { events: [{ id: randomUUID(), apiKeyId: gateway.id }] };
        const some = Array.from({ length: 300 }, () => second.post('/usage', { apiKey: gateway.secret, body }));
        sent.push(...some);
        return Promise.race([Promise.all(some), sleep(1_000)]);
      })
      .finally(async () => {
        events.release();
        await Promise.allSettled(sent);
      });
    await second.stop();
    await slow.stop();
  }, 240_000);

  it('that tells of builds, of a log and of an embedded PostgreSQL comes true on a process of another build', async () => {
    await eventually(async () => expect(await embedded!.isReady()).toBe(true), PATIENCE_MS);
    await watch.add(embedded!.baseUrl);
    await watch.untilTrue(['LatchkeyBuildsDiffer', 'LatchkeyLogLost']);
    await embedded!.killPostgres();
    await watch.untilTrue(['LatchkeyEmbeddedPostgresDies']);
    await lookAtPanels();
    await embedded!.stop();
  }, 240_000);

  it('that tells of a trail comes true on a live server: of half a minute, of lost work, and of a forged entry', async () => {
    await watch.untilTrue(SLOW, () => report({ id: randomUUID(), apiKeyId: gateway.id }));
    loseRevocation(app, own.id);
    await watch.untilTrue(['LatchkeyWorkLost']);
    await forgeEntry(app);
    await watch.untilTrue(['LatchkeyTrailForged'], () => app.app.get(Checkpoints, { strict: false }).look(0));
  }, 240_000);

  it('that tells of PostgreSQL comes true on a live server without it', async () => {
    await verify();
    proxy.setMode('refuse');
    const verdicts = app.app.get(VerdictCounter, { strict: false });
    // As of 200 000 keys within a minute.
    for (let n = verdicts.pending; n <= 200_000; n += 1) verdicts.count(`key-${n}`, 'VALID');
    let turn = 0;
    await watch.untilTrue(
      [
        'LatchkeyRequestsFail',
        'LatchkeyManagementDown',
        'LatchkeyLivesOnMemory',
        'LatchkeyReportsFail',
        'LatchkeyLimitsDown',
        'LatchkeyVerdictsNotCounted',
      ],
      () =>
        Promise.allSettled([
          app.get('/users', { token }),
          report({ id: `e${(turn += 1)}`, apiKeyId: gateway.id }),
          verify({ reserveCents: 50 }),
        ]),
    );
    verdicts.take(Number.POSITIVE_INFINITY);
    await lookAtPanels();
    proxy.setMode('pass');
    expect(dark.map(({ where }) => where)).toEqual([]);
  }, 240_000);

  it('that tells of no server at all comes true when the last one has gone', async () => {
    await app.stop();
    await watch.untilTrue(['LatchkeyNotScraped']);
  }, 240_000);

  it('has come true', () => {
    const missing = alertRules().flatMap(({ alert }) =>
      watch.seen.has(alert) ? [] : [`${alert}: bring a live server to it here`],
    );
    expect(missing).toEqual([]);
  });
});

/** The database, reached by the application through a proxy. */
function through(database: TestDatabase, proxy: TcpProxy): TestDatabase {
  const url = new URL(database.appUrl);
  url.port = String(proxy.port);
  return { ...database, appUrl: url.href };
}
