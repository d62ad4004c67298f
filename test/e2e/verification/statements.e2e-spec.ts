import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { importedBinding } from '../../../src/access/credential-binding.js';
import { importedMacOf, mint } from '../../../src/api-keys/secret.js';
import { ChangePropagation } from '../../../src/audit/change-propagation.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { type IssuedKey, Management, issueKey, issueServiceKey } from '../../support/management.js';
import { StatementCounter } from '../../support/statements.js';

describe('statements that POST /verify causes', () => {
  let app: TestApp;
  let admin: string;
  let service: IssuedKey;
  let counter: StatementCounter;
  const verify = (key: string) => app.post('/verify', { apiKey: service.secret, body: { key } });
  /** A secret with a right tag; the tag keys of the tests are known. */
  const draw = () =>
    mint({ prefix: 'lk', environment: 'live', tagKeys: app.config.tagKeys, randomBytes }).secret.reveal();

  /** The statements that look keys up, of those since the last call. */
  const lookUps = () => counter.take().filter((text) => text.includes('wanted AS MATERIALIZED'));

  /** Until what has been changed so far cannot cause a statement any more. */
  const settled = async () => {
    await app.app.get(ChangePropagation, { strict: false }).waitUntilApplied(null);
    await verify(draw());
    counter.take();
  };

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    service = await issueServiceKey(app, admin);
    counter = new StatementCounter();
  });
  afterAll(async () => {
    counter.stop();
    await app.stop();
  });

  it('are one for a key that is not in memory, and none after that', async () => {
    const key = await issueKey(app, admin);
    await settled();
    await verify(key.secret);
    expect(counter.take()).toHaveLength(1);
    for (let time = 0; time < 50; time += 1) expect((await verify(key.secret)).body.code).toBe('VALID');
    expect(counter.take()).toEqual([]);
  });

  it('are none for garbage, as a key that is asked about and as a credential', async () => {
    await settled();
    for (let time = 0; time < 100; time += 1) {
      const tail = randomBytes(48).toString('hex').slice(0, 63);
      expect((await verify(`lk_live_${tail}`)).body.code).toBe('NOT_FOUND');
      expect((await verify(`other-${tail}`)).body.code).toBe('NOT_FOUND');
      expect((await app.post('/verify', { apiKey: `lk_live_${tail}`, body: { key: 'x' } })).status).toBe(401);
    }
    expect(counter.take()).toEqual([]);
  });

  it('are one for a kid nobody knows, however often it is asked about', async () => {
    await settled();
    const unknown = draw();
    await verify(unknown);
    expect(counter.take()).toHaveLength(1);
    for (let time = 0; time < 20; time += 1) expect((await verify(unknown)).body.code).toBe('NOT_FOUND');
    expect(counter.take()).toEqual([]);
  });

  it('are few for many keys at once', async () => {
    const keys: IssuedKey[] = [];
    for (let time = 0; time < 60; time += 1) keys.push(await issueKey(app, admin));
    await settled();
    const { body } = await app.post('/verify/batch', {
      apiKey: service.secret,
      body: { items: keys.map(({ secret }) => ({ key: secret })) },
    });
    expect(body.results.map((verdict: { keyId: string }) => verdict.keyId)).toEqual(keys.map(({ id }) => id));
    expect(counter.take()).toHaveLength(1);
  });

  it('are none and refuse nobody else while secrets are guessed under a right kid', async () => {
    const key = await issueKey(app, admin);
    await settled();
    expect((await verify(key.secret)).body.code).toBe('VALID');
    counter.take();
    for (let time = 0; time < 200; time += 1) {
      const guess = draw();
      // The kid of the key, the body of another secret, and a tag that fits both.
      const forged = forge(app, key.secret, guess);
      const [wrong, right] = await Promise.all([verify(forged), verify(key.secret)]);
      expect(wrong.body).toMatchObject({ code: 'NOT_FOUND' });
      expect(right.body.code).toBe('VALID');
    }
    expect(counter.take()).toEqual([]);
  });

  it('find an imported key by its MAC, and remember what is not one', async () => {
    const presented = `sk-other-${randomBytes(24).toString('base64url')}`;
    const { id } = await issueKey(app, admin, { name: 'Imported' });
    const sha256 = createHash('sha256').update(presented).digest();
    expect((await verify(presented)).body.code).toBe('NOT_FOUND');
    const [pepper, kid] = [app.config.peppers[0]!.key, randomBytes(7).toString('hex')];
    const mac = importedMacOf(pepper, sha256);
    await app.dataSource.query(
      `INSERT INTO api_key_secret (kid, key_id, kind, key_prefix, mac, pepper_version, binding) VALUES ($1, $2, 'imported', 'sk-other', $3, '1', $4)`,
      [kid, id, mac, importedBinding(pepper, id, kid, mac)],
    );
    await new Management(app).narrow(id);
    await eventually(async () => expect((await verify(presented)).body).toMatchObject({ code: 'VALID', keyId: id }));
    await settled();
    await verify(presented);
    counter.take();
    await verify(presented);
    expect(counter.take()).toEqual([]);
    const stranger = `sk-other-${randomBytes(24).toString('base64url')}`;
    for (let time = 0; time < 10; time += 1) expect((await verify(stranger)).body.code).toBe('NOT_FOUND');
    expect(counter.take()).toEqual([]);
  });

  it('are none for strangers’ texts of any shape while keys are imported, as keys and as credentials, and whatever key changes', async () => {
    const secrets = Array.from({ length: 20 }, () => `sk-other-${randomBytes(24).toString('base64url')}`);
    const keys = secrets.map((secret) => ({
      sha256: createHash('sha256').update(secret).digest('hex'),
      prefix: secret.slice(0, 12),
    }));
    expect((await app.post('/api-keys/import', { token: admin, body: { keys } })).body.counts.created).toBe(20);
    const own = draw();
    await settled();
    expect((await verify(own)).body.code).toBe('NOT_FOUND');
    counter.take();
    for (let time = 0; time < 50; time += 1) {
      const text = randomBytes(30).toString('base64url');
      for (const key of [`sk-other-${text}`, text, text.slice(0, 8), `${text} ${text}`, 'é'.repeat(20), own]) {
        expect((await verify(key)).body.code).toMatch(/^(NOT_FOUND|MALFORMED)$/);
      }
      expect((await app.post('/verify', { apiKey: `sk-other-${text}`, body: { key: 'x' } })).status).toBe(401);
    }
    expect(lookUps()).toEqual([]);
    await issueKey(app, admin);
    await app.applied();
    counter.take();
    expect((await verify(own)).body.code).toBe('NOT_FOUND');
    expect(lookUps()).toEqual([]);
    for (const secret of secrets) expect((await verify(secret)).body.code).toBe('VALID');
  });
});

/** A string whose shape and tag are right, with the kid of one secret and the body of another. */
function forge(app: TestApp, ownSecret: string, other: string): string {
  const kid = ownSecret.slice('lk_live_'.length, 'lk_live_'.length + 14);
  const body = other.slice('lk_live_'.length + 14, 'lk_live_'.length + 57);
  const bytes = Buffer.concat([bytesOf(kid, 16), bytesOf(body, 32)]);
  return mint({
    prefix: 'lk',
    environment: 'live',
    tagKeys: app.config.tagKeys,
    randomBytes: () => bytes,
  }).secret.reveal();
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

function bytesOf(digits: string, length: number): Buffer {
  const value = [...digits].reduce((sum, digit) => sum * 62n + BigInt(BASE62.indexOf(digit)), 0n);
  return Buffer.from(value.toString(16).padStart(length * 2, '0'), 'hex');
}
