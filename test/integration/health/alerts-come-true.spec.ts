import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TcpProxy } from '../../proofs/harness/tcp-proxy.js';
import { ADMIN, TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';
import { makeLimit } from '../../support/made-limits.js';
import { hasData, panelQueries } from '../../support/panels.js';
import { alertRules, hasPromtool, promtool } from '../../support/prometheus.js';
import { type KnownMetric, knownMetrics, selectorsOf } from '../../support/promql.js';
import { setUpFactor, wrongCode } from '../../support/second-factor.js';
import { asOwner } from '../../support/trail.js';

const TOKEN = 'metrics-0123456789abcdefghijklmnopqrstuvwxyz';
const PATIENCE_MS = 120_000;
/** More than an alert takes for a flood. */
const FLOOD = 1_500;
const RULES = new URL('../../../deploy/prometheus/alerts.yaml', `file://${import.meta.filename}`);

/** What a running server and its database are brought to here. Every other alert is tried with fed values. */
const BROUGHT_ABOUT = [
  'LatchkeyReplicasMissing',
  'LatchkeyUsageNotArchived',
  'LatchkeyDenylistNotRead',
  'LatchkeyAuditCopyBehind',
  'LatchkeyTrailNotAnchored',
  'LatchkeyAuditSyslogBehind',
  'LatchkeyPasswordKnown',
  'LatchkeyPasswordsGuessed',
  'LatchkeyReplicaStandsStill',
  'LatchkeyManagementFlood',
  'LatchkeyRequestsFail',
  'LatchkeyManagementDown',
  'LatchkeyLivesOnMemory',
  'LatchkeyReportsFail',
  'LatchkeyLimitsDown',
  'LatchkeyNotScraped',
];

/** Panels that have nothing to show of this server: it has no embedded PostgreSQL, and fails only later. */
const NOT_EMBEDDED = 'latchkey-replicas, Starts of the embedded PostgreSQL';
const NO_FAILURE = 'latchkey-service, Requests answered with 5xx';

const rules = alertRules();
const hasPrometheus = hasPromtool() && spawnSync('prometheus', ['--version']).status === 0;

const withPrometheus = hasPrometheus ? describe : describe.skip;

withPrometheus('Each alert', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let directory: string;
  let app: TestApp | null = null;
  let prometheus: ChildProcess;
  let prometheusUrl: string;
  let metrics = '';
  let token: string;
  let gateway: { id: string; secret: string };
  const seen = new Set<string>();
  /** Queries of dashboards that have had no data yet. */
  let dark = panelQueries('30s');

  beforeAll(async () => {
    database = await createTestDatabase();
    directory = await mkdtemp(join(tmpdir(), 'latchkey-alerts-'));
    await asOwner(database, (client) =>
      client.query(
        `INSERT INTO usage_event (received_at, key_id, caller_id, event_id, month, requests, input_tokens, output_tokens, cost_micro_cents)
         VALUES (now() - interval '1 year', gen_random_uuid(), gen_random_uuid(), 'old', '2020-01-01', 1, 0, 0, 0)`,
      ),
    );
    const url = new URL(database.appUrl);
    proxy = await TcpProxy.start(Number(url.port));
    url.port = String(proxy.port);
    for (const name of ['denylist', 'not-a-directory']) await writeFile(join(directory, name), '');
    app = await TestApp.start(
      {
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
      },
      { ...database, appUrl: url.href },
    );
    token = await app.adminToken();
    const body = { roles: ['gateway'], budgetLimitCents: 100, budgetType: 'total' };
    const made = await app.post('/api-keys', { token, body });
    expect(made.status).toBe(201);
    gateway = { id: made.body.apiKey.id, secret: made.body.secretKey };
    prometheus = await startPrometheus(new URL(app.baseUrl).host);
  }, PATIENCE_MS);
  afterAll(async () => {
    prometheus?.kill('SIGKILL');
    await app?.stop();
    await proxy.stop();
    await database.drop();
    await rm(directory, { recursive: true, force: true });
  });

  /** Prometheus with the rules as they are, but for how long each must hold: that has tests of its own. */
  const startPrometheus = async (target: string): Promise<ChildProcess> => {
    const port = await freePort();
    prometheusUrl = `http://127.0.0.1:${port}`;
    await writeFile(join(directory, 'alerts.yaml'), withoutFor(await readFile(RULES, 'utf8')));
    await writeFile(
      join(directory, 'prometheus.json'),
      JSON.stringify({
        global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
        rule_files: [join(directory, 'alerts.yaml')],
        scrape_configs: [
          {
            job_name: 'latchkey',
            authorization: { type: 'Bearer', credentials: TOKEN },
            static_configs: [{ targets: [target] }],
          },
        ],
      }),
    );
    const child = spawn(
      'prometheus',
      [
        `--config.file=${join(directory, 'prometheus.json')}`,
        `--storage.tsdb.path=${join(directory, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--log.level=error',
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    await eventually(async () => expect((await fetch(`${prometheusUrl}/-/ready`)).ok).toBe(true), PATIENCE_MS);
    return child;
  };
  /** Waits until these alerts fire, and notes all that do; `meanwhile` is done again and again. */
  const untilTrue = async (names: readonly string[], meanwhile: () => Promise<unknown> = async () => undefined) => {
    await eventually(async () => {
      await Promise.allSettled([meanwhile()]);
      await sleep(250);
      const answer = (await (await fetch(`${prometheusUrl}/api/v1/alerts`)).json()) as {
        data: { alerts: { labels: { alertname: string }; state: string }[] };
      };
      for (const { labels, state } of answer.data.alerts) if (state === 'firing') seen.add(labels.alertname);
      expect(names.filter((name) => !seen.has(name))).toEqual([]);
    }, PATIENCE_MS);
  };

  /** Asks what panels show now. */
  const lookAtPanels = async () => {
    const asked = await Promise.all(dark.map(async (query) => ((await hasData(prometheusUrl, query)) ? [] : [query])));
    dark = asked.flat();
  };
  /** Calls of every kind that dashboards show, those that are refused included. */
  const call = async (turn: number, limited: string) => {
    const apiKey = gateway.secret;
    const verify = (body: object) => app!.post('/verify', { apiKey, body: { key: apiKey, ...body } });
    const { reservation } = (await verify({ reserveCents: 1, ttlSeconds: 60 })).body;
    const { id: reservationId } = reservation ?? {};
    await Promise.all([
      verify({}),
      app!.post('/verify', { apiKey, body: { key: 'sk_live_nothing' } }),
      verify({ key: limited, estimatedCents: 5 }),
      app!.post('/reservations/renew', { apiKey, body: { reservationId, ttlSeconds: 120 } }),
      app!.post('/usage', { apiKey, body: { events: [{ id: `c${turn}`, apiKeyId: gateway.id, reservationId }] } }),
      app!.get('/users', { apiKey }),
      app!.get('/roles', {}),
      app!.post('/auth/login', { body: { email: 'nobody@latchkey.test', password: 'guessed' } }),
    ]);
  };

  it('finds a server that every panel of the dashboards has data of, but for what does not happen there', async () => {
    const limited = (await app!.post('/api-keys', { token, body: {} })).body;
    await makeLimit(app!, token, { amountCents: 1, target: { kind: 'key', id: limited.apiKey.id } });
    let turn = 0;
    await eventually(async () => {
      await call((turn += 1), limited.secretKey);
      await lookAtPanels();
      expect(dark.map(({ where }) => where).sort()).toEqual([NOT_EMBEDDED, NO_FAILURE]);
    }, PATIENCE_MS);
  }, 180_000);

  it('that tells of passwords, and of a replica that stands still, comes true on a live server', async () => {
    const { secret } = await setUpFactor(app!, token, ADMIN.password);
    const code = await wrongCode(app!, secret);
    const signIn = (body: object) => app!.post('/auth/login', { body });
    const { email, password } = ADMIN;
    let turn = 0;
    await untilTrue(['LatchkeyPasswordKnown', 'LatchkeyReplicaStandsStill'], async () => {
      turn += 1;
      // Of 20 failures of an account, more are refused before they are looked at.
      if (turn <= 12) await signIn({ email, password, code });
      const untilMs = performance.now() + 1_000;
      while (performance.now() < untilMs);
    });
    await untilTrue(['LatchkeyPasswordsGuessed'], () =>
      Promise.all(
        Array.from({ length: 60 }, (_, n) => signIn({ email: `nobody-${n}@latchkey.test`, password: 'guessed' })),
      ),
    );
  }, 180_000);

  it('that tells of a file comes true on a live server: denylist, copy, checkpoints, archive, and one replica alone', async () => {
    for (const name of ['denylist', 'copy', 'checkpoints']) {
      await rm(join(directory, name), { force: true });
      await mkdir(join(directory, name));
    }
    let made = 0;
    await untilTrue(
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
      async () => (made += 1) < 20 && app!.post('/api-keys', { token }),
    );
    expect(seen.has('LatchkeyRequestsFail')).toBe(false);
  }, 180_000);

  it('that tells of a flood comes true on a live server', async () => {
    let sent = 0;
    await untilTrue(['LatchkeyManagementFlood'], async () => {
      if (sent > 4 * FLOOD) return;
      sent += 100;
      await Promise.all(Array.from({ length: 100 }, () => app!.get('/api-keys', { token })));
    });
  }, 180_000);

  it('that tells of PostgreSQL comes true on a live server without it', async () => {
    await app!.post('/verify', { apiKey: gateway.secret, body: { key: gateway.secret } });
    proxy.setMode('refuse');
    let turn = 0;
    await untilTrue(
      [
        'LatchkeyRequestsFail',
        'LatchkeyManagementDown',
        'LatchkeyLivesOnMemory',
        'LatchkeyReportsFail',
        'LatchkeyLimitsDown',
      ],
      () =>
        Promise.allSettled([
          app!.get('/users', { token }),
          app!.post('/usage', {
            apiKey: gateway.secret,
            body: { events: [{ id: `e${(turn += 1)}`, apiKeyId: gateway.id }] },
          }),
          app!.post('/verify', { apiKey: gateway.secret, body: { key: gateway.secret, reserveCents: 50 } }),
        ]),
    );
    await lookAtPanels();
    expect(dark.map(({ where }) => where)).toEqual([NOT_EMBEDDED]);
    metrics = String((await app!.get('//metrics', { token: TOKEN })).body);
    proxy.setMode('pass');
  }, 240_000);

  it('that tells of no server at all comes true when the last one has gone', async () => {
    await app!.stop();
    app = null;
    await untilTrue(['LatchkeyNotScraped']);
    expect(BROUGHT_ABOUT.filter((name) => !seen.has(name))).toEqual([]);
  }, 180_000);

  it('else comes true with the series of that server, where their values are what it waits for', async () => {
    const fed = rules.filter(({ alert }) => !seen.has(alert));
    const series = seriesOf(metrics);
    const known = await knownMetrics();
    const tests = fed.map(({ alert, expr }) => {
      const names = selectorsOf(expr).flatMap(({ metric }) =>
        typeof metric === 'string' ? [metric] : known.map(({ name }) => name).filter((name) => metric.test(name)),
      );
      const served = series.filter(({ name }) => names.includes(name));
      // Of what this server does not have: an embedded PostgreSQL, an identity provider.
      const documented = known.filter(({ name }) => names.includes(name)).flatMap(seriesAsDocumented);
      const inputs = served.length > 0 ? served : documented;
      return {
        name: alert,
        interval: '15s',
        input_series: inputs.map((one) => ({ series: one.text, values: valuesFor(expr, one) })),
        promql_expr_test: [
          { expr: `(count(${expr}) > bool 0)`, eval_time: '10m', exp_samples: [{ labels: '{}', value: 1 }] },
        ],
      };
    });
    const file = join(directory, 'fed.json');
    await writeFile(file, JSON.stringify({ evaluation_interval: '15s', tests }));
    process.stderr.write(`Fed, and not brought about: ${fed.map(({ alert }) => alert).join(', ')}\n`);
    const { ok, output } = promtool(['test', 'rules', file]);
    expect([ok, output]).toEqual([true, expect.stringContaining('SUCCESS')]);
  }, 120_000);
});

/** A series as a server serves it, with the labels that Prometheus adds. */
interface Series {
  readonly name: string;
  readonly labels: string;
  readonly text: string;
}

function seriesOf(metrics: string): Series[] {
  return metrics.split('\n').flatMap((line) => {
    const [, name, labels = ''] = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (name === undefined) return [];
    const all = [labels, 'job="latchkey"', 'instance="a"'].filter((one) => one !== '').join(',');
    const text = `${name}{${all}}`;
    // Two builds that run at the same time.
    const other = { name, labels: all, text: text.replace(/commit="[^"]*"/, 'commit="another"') };
    return name === 'latchkey_build_info' ? [{ name, labels: all, text }, other] : [{ name, labels: all, text }];
  });
}

function seriesAsDocumented({ name, labels }: KnownMetric): Series[] {
  const all = [...labels.map((label) => `${label}="any"`), 'job="latchkey"', 'instance="a"'].join(',');
  return [{ name, labels: all, text: `${name}{${all}}` }];
}

/** Values that make an expression true: a counter that rises, a gauge that is high, a condition that is 1. */
function valuesFor(expr: string, { name, labels }: Series): string {
  if (name.endsWith('_bucket')) return labels.includes('le="+Inf"') ? '0+100x80' : '0x80';
  if (/== 0/.test(expr)) return '0x80';
  if (name.endsWith('_down')) return '1x80';
  if (/increase\(|rate\(/.test(expr)) return '0+100x80';
  return name.endsWith('_info') ? '1x80' : '1000000x80';
}

/** The rules without `for`. */
function withoutFor(text: string): string {
  return text.replaceAll(/^ +for: .*\n/gm, '');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
