import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { migrate } from '../../../src/database/migrate.js';
import { examine } from '../../../src/health/doctor.js';
import { hasBoundAll } from '../../../src/installation/bindings/bind-action.js';
import { CredentialBindings } from '../../../src/installation/bindings/credential-bindings.js';
import { acceptRows } from '../../../src/integrity/accept-rows.js';
import { TestApp } from '../../support/app.js';
import type { TestDatabase } from '../../support/postgres.js';
import { type FixtureFacts, fixtureReleases, loadFixture } from '../../support/schema-fixture.js';

describe.each(await fixtureReleases())('The data of release %s on this build', (release) => {
  let database: TestDatabase;
  let facts: FixtureFacts;
  let app: TestApp;
  let token: string;

  beforeAll(async () => {
    ({ database, facts } = await loadFixture(release));
    await migrate(database.ownerUrl);
    app = await TestApp.start(facts.secrets, database);
    token = await app.tokenOf(facts.admin.email, facts.admin.password);
  });
  afterAll(async () => {
    await app.stop();
    await database.drop();
  });

  const verify = async (key: string) => {
    const { body } = await app.post('/verify', {
      apiKey: facts.caller,
      body: { key, ip: '203.0.113.7', model: 'gpt-4o-mini', chatbot: 'support' },
    });
    return body.code as string;
  };
  const report = async (event: Record<string, unknown>) => {
    const { status, body } = await app.post('/usage', { apiKey: facts.caller, body: { events: [event] } });
    return { status, ...body?.results?.[0] };
  };
  const usageOf = async (id: string) => (await app.get(`/api-keys/${id}/usage`, { token })).body;

  it('verifies every key as that release did: valid, revoked, expired, imported, both secrets of an overlap', async () => {
    expect(Object.keys(facts.codes).length).toBeGreaterThan(10);
    const codes = await Promise.all(
      Object.entries(facts.codes).map(async ([name, { secret }]) => [name, await verify(secret)]),
    );
    expect(Object.fromEntries(codes)).toEqual(
      Object.fromEntries(Object.entries(facts.codes).map(([name, { code }]) => [name, code])),
    );
  });

  it('tells the same usage', async () => {
    for (const [name, usage] of Object.entries(facts.usage))
      expect(await usageOf(facts.ids[name]!)).toMatchObject(usage);
    expect(Object.keys(facts.usage)).not.toEqual([]);
  });

  it('reports what was booked before under what is known now, and says so', async () => {
    const { body } = await app.get('/usage/summary?groupBy=owner', { token });
    const [version] = await app.dataSource.query('SELECT max(assumed_at) AS at FROM key_version');
    expect(body.assumedBefore).toBe((version as { at: Date }).at.toISOString());
    // Of a key that was deleted before, nothing is known.
    const owners = body.rows.filter(({ group }: { group: string | null }) => group !== null);
    expect(owners).not.toEqual([]);
    expect(owners.filter(({ name }: { name: string | null }) => name === null)).toEqual([]);
  });

  it('takes an event that release booked for a duplicate', async () => {
    expect(await report(facts.booked)).toEqual({ status: 200, id: facts.booked['id'], outcome: 'duplicate' });
    expect(await report({ ...facts.booked, costCents: 1 })).toMatchObject({ outcome: 'conflict' });
  });

  it('settles and releases reservations that were open, for what they held', async () => {
    const { heldCents, spentCents } = (await usageOf(facts.open.keyId)).budget;
    expect(heldCents).toBe(facts.open.cents);
    const settled = await report({
      id: 'settled-after',
      apiKeyId: facts.open.keyId,
      reservationId: facts.open.id,
      costCents: 8,
    });
    expect(settled).toEqual({ status: 200, id: 'settled-after', outcome: 'accepted' });
    expect((await usageOf(facts.open.keyId)).budget).toMatchObject({
      heldCents: 0,
      spentCents: (spentCents as number) + 8,
    });
    const { status } = await app.post('/reservations/release', {
      apiKey: facts.caller,
      body: { reservationId: facts.openMonthly.id },
    });
    expect(status).toBe(200);
  });

  it('goes on with the audit chain', async () => {
    const created = await app.post('/api-keys', { token, body: { name: 'made after the upgrade' } });
    expect(created.status).toBe(201);
    expect(await verify(created.body.secretKey)).toBe('VALID');
    const { body } = await app.post('/audit-events/verify', { token });
    expect(body).toMatchObject({ ok: true, firstBroken: null });
    expect(body.checked).toBeGreaterThan(facts.entries);
  });

  it('has bound every password and imported secret to its row, and accepts nothing else from now on', async () => {
    await app.app.get(CredentialBindings, { strict: false }).look();
    expect(await hasBoundAll(app.dataSource.manager)).toBe(true);
    const imported = Object.keys(facts.codes).find((name) => name.includes('import'))!;
    expect(await verify(facts.codes[imported]!.secret)).toBe(facts.codes[imported]!.code);
    expect(await app.tokenOf(facts.admin.email, facts.admin.password)).not.toBe('');
    const unbound = `SELECT 1 FROM users WHERE password_hash IS NOT NULL AND password_binding IS NULL
      UNION ALL SELECT 1 FROM api_key_secret WHERE kind = 'imported' AND binding IS NULL`;
    expect(await app.dataSource.query(unbound)).toEqual([]);
  });

  it('has nothing that the doctor objects to', async () => {
    // What the fixture's loader has moved to today is written past Latchkey, and nothing else is.
    const moved = await acceptRows(app.config, app.dataSource, null);
    expect(moved.filter((line) => !/ (in expiresAt|works longer than the trail says)\.$/.test(line))).toEqual([]);
    const findings = await examine(app.config, app.dataSource);
    expect(
      findings.flatMap(({ check, differences }) => differences.map((difference) => `${check}: ${difference}`)),
    ).toEqual([]);
  });
});
