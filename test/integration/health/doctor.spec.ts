import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { dataSource } from '../../../src/database/data-source.js';
import { describe as lineOf, examine } from '../../../src/health/doctor.js';
import { storeLimit } from '../../support/made-limits.js';
import { acceptRows } from '../../../src/integrity/accept-rows.js';
import { TestApp, testConfig } from '../../support/app.js';
import { untilSummedUp } from '../../support/summed-up.js';
import { TestProvider } from '../../support/key-set.js';
import { reserve } from '../../support/reserve.js';

const OF_LIMITS = [
  'ok    spent of limits = Σ costs, or tokens, of the events that name them',
  'ok    limits of requests have counted no more than they allow',
  'ok    windows of limits have the sums of their buckets; what they counted cannot be counted again',
  'ok    every event has the accounts of limits that it charged',
  'ok    accounts of limits are named by limit and member',
];

const OF_BOOKS = [
  'ok    totals of keys = Σ events',
  'ok    every key has its totals',
  'ok    hourly rollups = Σ events',
  'ok    rollups of archived months = Σ archived events',
  'ok    versions in rollups = Σ events',
  'ok    every key has the version that it is',
  'ok    every event has its id, every id one event',
  'ok    spent of accounts = Σ costs of events',
  ...OF_LIMITS,
  'ok    every event has its account',
  'ok    raises of accounts = raises of keys',
  'ok    leased of accounts = Σ open leases',
  'ok    totals that count no further (none)',
];

describe('The doctor', () => {
  let app: TestApp;
  let owner: DataSource;
  let key: string;

  beforeAll(async () => {
    app = await TestApp.start();
    owner = await dataSource(app.database.ownerUrl, { max: 1 }).initialize();
    const token = await app.adminToken();
    const created = await app.post('/api-keys', { token, body: { budgetLimitCents: 100 } });
    key = created.body.apiKey.id;
    await reserve(app, key, { cents: 3, callerId: created.body.apiKey.ownerId });
    await app.post('/usage', { token, body: { events: [{ id: 'a', apiKeyId: key, costCents: 5 }] } });
    await untilSummedUp(app.dataSource);
  });
  afterAll(async () => {
    await owner.destroy();
    await app.stop();
  });

  const ill = async (config = app.config) =>
    (await examine(config, app.dataSource))
      .filter(({ differences }) => differences.length > 0)
      .map(({ check }) => check);

  it('finds nothing wrong with a healthy database', async () => {
    const findings = await examine(app.config, app.dataSource);
    expect(findings.flatMap(({ differences }) => differences)).toEqual([]);
    expect(findings.map(lineOf)).toEqual([
      'ok    the settings are fit for production',
      expect.stringMatching(
        /^ok {4}PostgreSQL is one that can be worked on \(PostgreSQL [\d.]+ .*at 127\.0\.0\.1:\d+, no TLS, login latchkey_app\)$/,
      ),
      'ok    a session keeps its role and settings (directly)',
      expect.stringMatching(/^ok {4}sessions suffice for a replica \(\d+ sessions free, a replica uses up to 32\)$/),
      'ok    the login may use the tables (logged in as latchkey_app)',
      'ok    the schema is what this build expects',
      'ok    the database has all that its checkpoint file has seen (no AUDIT_CHECKPOINT_FILE: a restore of an older state would not be noticed)',
      'ok    ADMIN_PASSWORD is fit for the first admin',
      expect.stringMatching(/^ok {4}the database says which installation it is \([0-9a-f]{8}\)$/),
      'ok    every secret is the one this database was made with',
      ...OF_BOOKS,
      'ok    archived usage events are in their files (none)',
      expect.stringMatching(/^ok {4}audit trail \(The audit trail is whole: \d+ entries/),
      'ok    sealed entries of the audit trail are in their files (none)',
      expect.stringMatching(/^ok {4}audit checkpoints \((none yet|the newest is \d+ s old); entries since: \d+\)$/),
      'ok    the receiver of AUDIT_SYSLOG_URL takes the audit trail (AUDIT_SYSLOG_URL is not set)',
      expect.stringMatching(/^ok {4}keys, users and roles are what the audit trail says of them \(\d+ rows\)$/),
      'ok    versions of secrets that are needed (API_KEY_PEPPERS 1: 1 secret of a key and 1 password; TAG_KEYS 1: 1 secret of a key; AUDIT_KEY 1: the newest entries of the audit trail)',
      'ok    second factors are those of the audit trail (MFA_REQUIRED=none asks nobody)',
      'ok    failovers have lost no change',
      'ok    no rate window and no lease lies in the future',
      'ok    limits are of units that every replica enforces',
      // The tests' installation is one of before: its creators have no policy.
      expect.stringMatching(/^ok {4}roles that make keys bound them \(role creator: no key policy, /),
      'ok    roles that change users may act for owners of keys',
      'ok    roles that change roles may loosen key policies',
      'ok    tags that look like a plan or a role are not by the owner',
      'ok    keys that only TRUSTED_PROXIES could use (none)',
      'ok    metrics (none)',
      expect.stringMatching(
        /^ok {4}sessions \(The console’s cookie is latchkey_session, which other servers .* with https it is __Host-latchkey_[0-9a-f]{8}; 1 open\)$/,
      ),
      'ok    standbys (none)',
    ]);
  });

  it.each([
    [
      'spent of accounts = Σ costs of events',
      `UPDATE budget_account SET spent_micro_cents = spent_micro_cents + $2 WHERE key_id = $1 AND period = 'total'`,
    ],
    [
      'leased of accounts = Σ open leases',
      `UPDATE budget_account SET leased_micro_cents = leased_micro_cents + $2 WHERE key_id = $1 AND period = 'total'`,
    ],
    ['totals of keys = Σ events', 'UPDATE key_totals SET cost_micro_cents = cost_micro_cents + $2 WHERE key_id = $1'],
    [
      'hourly rollups = Σ events',
      'UPDATE usage_rollup_hour SET cost_micro_cents = cost_micro_cents + $2 WHERE key_id = $1',
    ],
  ])('sees one micro-cent too much in: %s', async (check, sql) => {
    await app.dataSource.query(sql, [key, 1]);
    expect(await ill()).toEqual([check]);
    await app.dataSource.query(sql, [key, -1]);
    expect(await ill()).toEqual([]);
  });

  it('names limits that a replica of an older release takes for limits of cents', async () => {
    const check = 'limits are of units that every replica enforces';
    const { id: projectId } = (
      await app.post('/projects', { token: await app.adminToken(), body: { name: 'Rolled back' } })
    ).body as { id: string };
    const slots = await storeLimit(app, { projectId, unit: 'slots', amount: 2 });
    // Written past the routes.
    await acceptRows(app.config, app.dataSource, [slots]);
    expect(await ill()).toEqual([]);
    const older = '00000000-0000-7000-8000-00000000a1de';
    await app.dataSource.query('INSERT INTO replica (id, applied_seq, build_level) VALUES ($1, 0, 4)', [older]);
    expect(await ill()).toEqual([check]);
    const finding = (await examine(app.config, app.dataSource)).find((one) => one.check === check);
    expect(finding!.differences).toEqual([expect.stringContaining(`limit ${slots} `)]);
    await app.dataSource.query('DELETE FROM replica WHERE id = $1', [older]);
    await app.dataSource.query('DELETE FROM quota_limit WHERE id = $1', [slots]);
    await acceptRows(app.config, app.dataSource, [slots]);
    expect(await ill()).toEqual([]);
  });

  it('lists the keys that only proxies could use, which are refused', async () => {
    const token = await app.adminToken();
    const made = async (allowedIps: string[]) =>
      (await app.post('/api-keys', { token, body: { allowedIps } })).body.apiKey.id as string;
    const within = [await made(['10.1.2.3']), await made(['10.1.0.0/16', '2001:db8:1::9'])];
    for (const allowedIps of [['10.1.2.3', '203.0.113.7'], ['10.0.0.0/8'], ['::/0'], []]) await made(allowedIps);
    const config = testConfig({
      TRUSTED_PROXIES: '10.1.0.0/16,2001:db8:1::/64',
      METRICS_TOKEN: 'metrics-0123456789-abcdefghijklmnopqrstuvwxyz',
    });
    const lines = (await examine(config, app.dataSource)).map(lineOf);
    expect(lines).toContain(
      `ok    keys that only TRUSTED_PROXIES could use (2 keys, refused except as a gateway's own: ${within.join(', ')})`,
    );
    expect(lines).toContain('ok    metrics (on PORT, for METRICS_TOKEN)');
  });

  it('sees a key that lists by last use would miss', async () => {
    await app.dataSource.query('UPDATE key_totals SET is_listed = false WHERE key_id = $1', [key]);
    const findings = await examine(app.config, app.dataSource);
    expect(findings.find(({ check }) => check === 'every key has its totals')!.differences).toEqual([
      `${key}: none, should be one`,
    ]);
    await app.dataSource.query('UPDATE key_totals SET is_listed = true WHERE key_id = $1', [key]);
  });

  it('sees an event without an account, and says which key it is', async () => {
    await app.dataSource.query(`UPDATE budget_account SET key_id = $2 WHERE key_id = $1 AND period = 'total'`, [
      key,
      '019a8b5e-0000-7000-8000-000000000000',
    ]);
    const findings = await examine(app.config, app.dataSource);
    expect(findings.find(({ check }) => check === 'every event has its account')!.differences).toEqual([
      `${key}: no account, should be one`,
    ]);
    await app.dataSource.query(`UPDATE budget_account SET key_id = $1 WHERE key_id = $2`, [
      key,
      '019a8b5e-0000-7000-8000-000000000000',
    ]);
  });

  it('tells of roles and keys that the bounds on owners affect, and calls none of them a difference', async () => {
    const other = await TestApp.start();
    try {
      await other.addRole('helpdesk', ['platform:users:update']);
      await other.addRole('keeper', ['platform:roles:update'], { maxRateLimitPerMinute: 10 });
      const owner = await other.addUser(['creator']);
      const token = await other.adminToken();
      const own = await other.post('/api-keys', { token: owner.token, body: { tags: ['plan:gold'] } });
      const given = await other.post('/api-keys', { token, body: { ownerId: owner.id, tags: ['plan:free'] } });
      const findings = await examine(other.config, other.dataSource);
      const find = (check: string) => findings.find((finding) => finding.check === check)!;
      const makers = find('roles that make keys bound them');
      const changers = find('roles that change users may act for owners of keys');
      const keepers = find('roles that change roles may loosen key policies');
      const tags = find('tags that look like a plan or a role are not by the owner');
      expect(makers.note).toContain('role creator: ');
      expect(changers.note).toContain('role helpdesk: ');
      expect(keepers.note).toContain('role keeper: ');
      expect(tags.note).toContain(`key ${own.body.apiKey.id}: `);
      expect(tags.note).not.toContain(given.body.apiKey.id);
      expect([makers, changers, keepers, tags].flatMap(({ differences }) => differences)).toEqual([]);
    } finally {
      await other.stop();
    }
  });

  describe('of an identity provider', () => {
    let provider: TestProvider;

    beforeAll(async () => {
      provider = await TestProvider.start();
    });
    afterAll(() => provider.stop());

    const found = async (settings: Record<string, string> = {}) => {
      const findings = await examine(testConfig({ ...provider.variables, ...settings }), app.dataSource);
      return findings.filter(({ check }) => check.endsWith('of the identity provider'));
    };

    it('names those who came with bearer tokens alone, and warns of an audience that ID tokens have', async () => {
      const on = await TestApp.start(provider.variables, app.database);
      const { id } = (await on.get('/auth/me', { token: provider.token({ sub: 'bearer' }) })).body.user;
      await on.stop();
      expect((await found()).map(lineOf)).toEqual([
        `ok    bearer tokens of the identity provider (accepted of any client of the provider; with bearer tokens alone came in the last 30 days: ${id})`,
        'ok    signing keys of the identity provider (2 accepted)',
      ]);
      const [bearers] = await found({ OIDC_CLIENT_ID: provider.audience, OIDC_ALLOWED_CLIENTS: 'ci' });
      expect(bearers!.note).toMatch(
        /^accepted of the clients ci; .*; OIDC_AUDIENCE and OIDC_CLIENT_ID are the same, so .*own\.$/,
      );
    });

    it('sees a key that is too weak, and a provider that is away', async () => {
      provider.addKey('weak', 'RS256', { modulusLength: 1024 });
      provider.published.push('weak');
      expect((await found())[1]!.differences).toEqual(['The key "weak" has 1024 bits; RSA needs at least 2048.']);
      provider.answer = (response) => response.writeHead(500).end();
      expect((await found())[1]).toEqual({
        check: 'signing keys of the identity provider',
        differences: [],
        note: "could not be read: The key set's address answered 500.",
      });
    });
  });

  it('names what production would refuse, and the sessions that an https console ends', async () => {
    await app.dataSource.query('UPDATE session SET last_active_at = NULL');
    const [{ count }] = await app.dataSource.query<[{ count: number }]>('SELECT count(*)::int FROM session');
    const config = testConfig({ PUBLIC_URL: 'https://keys.internal', ADMIN_PASSWORD: 'changeme-changeme' });
    const notes = (await examine(config, app.dataSource)).map(({ check, note }) => `${check}: ${note}`);
    expect(notes).toContain(
      'the settings are fit for production: NODE_ENV=test; production would refuse: ADMIN_PASSWORD is an example or too simple: choose another one, or leave it out and a random one is printed once.',
    );
    expect(notes).toContainEqual(
      expect.stringMatching(
        new RegExp(
          `^sessions: The console’s cookie is __Host-latchkey_[0-9a-f]{8}; ${count} open; ${count} of them opened by a build that named the cookie latchkey_session: their browsers sign in again$`,
        ),
      ),
    );
    const unfit = testConfig({ NODE_ENV: 'production', PUBLIC_URL: 'http://keys.internal' });
    expect(await ill(unfit)).toEqual(['the settings are fit for production']);
    await app.dataSource.query(`UPDATE session SET last_active_at = now() - interval '2 hours'`);
    expect((await examine(config, app.dataSource)).find(({ check }) => check === 'sessions')?.note).toMatch(
      new RegExp(`; 0 open; ${count} more not used for 3600 s and therefore ended$`),
    );
    await app.dataSource.query('UPDATE session SET last_active_at = now()');
  });

  it('sees a database that lost the id of its installation', async () => {
    await owner.query('CREATE TABLE kept AS TABLE installation');
    await owner.query('DELETE FROM installation');
    expect(await ill()).toEqual(['the database says which installation it is']);
    await owner.query('INSERT INTO installation SELECT * FROM kept');
    await owner.query('DROP TABLE kept');
    expect(await ill()).toEqual([]);
  });

  it('sees a secret whose pepper is gone', async () => {
    expect(await ill(testConfig({ API_KEY_PEPPERS: '2:pepper-0123456789abcdefghijklmnopqrstuv' }))).toEqual([
      'every secret is the one this database was made with',
    ]);
  });

  it('sees an edited schema, and says all that it can about the rest', async () => {
    await owner.query('ALTER TABLE usage_rollup_hour RENAME TO gone');
    const findings = await examine(app.config, app.dataSource);
    expect(findings.find(({ check }) => check === 'the schema is what this build expects')!.differences[0]).toContain(
      'The schema of this database was edited: table usage_rollup_hour is missing',
    );
    expect(
      findings
        .filter(({ differences }) => differences.some((one) => one.startsWith('could not be made: ')))
        .map(({ check }) => check),
    ).toEqual(['usage']);
    expect(findings.at(-1)).toMatchObject({ check: 'standbys', differences: [] });
    await owner.query('ALTER TABLE gone RENAME TO usage_rollup_hour');
    expect(await ill()).toEqual([]);
  });

  it('sees an edited audit row, and the trigger that was switched off for it', async () => {
    await owner.query('ALTER TABLE audit_event DISABLE TRIGGER USER');
    await owner.query(`UPDATE audit_event SET action = 'api-keys:delete' WHERE seq = 1`);
    expect(await ill()).toEqual(['the schema is what this build expects', 'audit trail']);
  });
});
