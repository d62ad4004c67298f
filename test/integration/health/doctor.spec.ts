import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { dataSource } from '../../../src/database/data-source.js';
import { describe as lineOf, examine } from '../../../src/health/doctor.js';
import { TestApp, testConfig } from '../../support/app.js';
import { reserve } from '../../support/reserve.js';

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
  });
  afterAll(async () => {
    await owner.destroy();
    await app.stop();
  });

  const ill = async (config = app.config) => (await examine(config, app.dataSource)).filter(({ differences }) => differences.length > 0).map(({ check }) => check);

  it('finds nothing wrong with a healthy database', async () => {
    const findings = await examine(app.config, app.dataSource);
    expect(findings.flatMap(({ differences }) => differences)).toEqual([]);
    expect(findings.map(lineOf)).toEqual([
      expect.stringMatching(/^ok {4}PostgreSQL is one that can be worked on \(PostgreSQL [\d.]+ .*at 127\.0\.0\.1:\d+, no TLS, login latchkey_app\)$/),
      'ok    a session keeps its role and settings (directly)',
      expect.stringMatching(/^ok {4}sessions suffice for a replica \(\d+ sessions free, a replica uses up to 32\)$/),
      'ok    the login may use the tables (logged in as latchkey_app)',
      'ok    the schema is what this build expects',
      'ok    the database has all that its checkpoint file has seen (no AUDIT_CHECKPOINT_FILE: a restore of an older state would not be noticed)',
      'ok    every secret is the one this database was made with',
      'ok    totals of keys = Σ events',
      'ok    every key has its totals',
      'ok    hourly rollups = Σ events',
      'ok    every event has its id, every id one event',
      'ok    spent of accounts = Σ costs of events',
      'ok    every event has its account',
      'ok    leased of accounts = Σ open leases',
      expect.stringMatching(/^ok {4}audit trail \(The audit trail is whole: \d+ entries/),
      expect.stringMatching(/^ok {4}audit checkpoints \((none yet|the newest is \d+ s old); entries since: \d+\)$/),
      'ok    versions of secrets that are needed (API_KEY_PEPPERS 1: 1 secret of a key; TAG_KEYS 1: 1 secret of a key; AUDIT_KEY 1: the newest entries of the audit trail)',
      'ok    second factors are those of the audit trail (MFA_REQUIRED=none asks nobody)',
      'ok    failovers have lost no change',
      'ok    no rate window and no lease lies in the future',
      'ok    standbys (none)',
    ]);
  });

  it.each([
    ['spent of accounts = Σ costs of events', `UPDATE budget_account SET spent_micro_cents = spent_micro_cents + $2 WHERE key_id = $1 AND period = 'total'`],
    ['leased of accounts = Σ open leases', `UPDATE budget_account SET leased_micro_cents = leased_micro_cents + $2 WHERE key_id = $1 AND period = 'total'`],
    ['totals of keys = Σ events', 'UPDATE key_totals SET cost_micro_cents = cost_micro_cents + $2 WHERE key_id = $1'],
    ['hourly rollups = Σ events', 'UPDATE usage_rollup_hour SET cost_micro_cents = cost_micro_cents + $2 WHERE key_id = $1'],
  ])('sees one micro-cent too much in: %s', async (check, sql) => {
    await app.dataSource.query(sql, [key, 1]);
    expect(await ill()).toEqual([check]);
    await app.dataSource.query(sql, [key, -1]);
    expect(await ill()).toEqual([]);
  });

  it('sees a key that lists by last use would miss', async () => {
    await app.dataSource.query('UPDATE key_totals SET is_listed = false WHERE key_id = $1', [key]);
    const findings = await examine(app.config, app.dataSource);
    expect(findings.find(({ check }) => check === 'every key has its totals')!.differences).toEqual([`${key}: none, should be one`]);
    await app.dataSource.query('UPDATE key_totals SET is_listed = true WHERE key_id = $1', [key]);
  });

  it('sees an event without an account, and says which key it is', async () => {
    await app.dataSource.query(`UPDATE budget_account SET key_id = $2 WHERE key_id = $1 AND period = 'total'`, [key, '019a8b5e-0000-7000-8000-000000000000']);
    const findings = await examine(app.config, app.dataSource);
    expect(findings.find(({ check }) => check === 'every event has its account')!.differences).toEqual([`${key}: no account, should be one`]);
    await app.dataSource.query(`UPDATE budget_account SET key_id = $1 WHERE key_id = $2`, [key, '019a8b5e-0000-7000-8000-000000000000']);
  });

  it('sees a secret whose pepper is gone', async () => {
    expect(await ill(testConfig({ API_KEY_PEPPERS: '2:pepper-0123456789abcdefghijklmnopqrstuv' }))).toEqual(['every secret is the one this database was made with']);
  });

  it('sees an edited schema, and says all that it can about the rest', async () => {
    await owner.query('ALTER TABLE usage_rollup_hour RENAME TO gone');
    const findings = await examine(app.config, app.dataSource);
    expect(findings.find(({ check }) => check === 'the schema is what this build expects')!.differences[0]).toContain('The schema of this database was edited: table usage_rollup_hour is missing');
    expect(findings.filter(({ differences }) => differences.some((one) => one.startsWith('could not be made: '))).map(({ check }) => check)).toEqual(['usage']);
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
