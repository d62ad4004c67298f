import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { ADDRESS_FORMS } from '../../support/address-forms.js';
import { eventually } from '../../support/eventually.js';
import { type IssuedKey, Management, issueKey, issueServiceKey } from '../../support/management.js';

describe('POST /verify', () => {
  let app: TestApp;
  let admin: string;
  let service: IssuedKey;
  let management: Management;
  const verify = (body: unknown) => app.post('/verify', { apiKey: service.secret, body });

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    service = await issueServiceKey(app, admin);
    management = new Management(app);
  });
  afterAll(() => app.stop());
  let restricted: Promise<IssuedKey[]> | undefined;
  const restrictedKeys = () =>
    (restricted ??= Promise.all([
      issueKey(app, admin),
      issueKey(app, admin, { allowedIps: ['203.0.113.7', '2001:db8::5'] }),
    ]));

  describe('200', () => {
    it('answers with what the key is, the first time and from memory alike', async () => {
      const fields = { name: 'Billing', scopes: ['chat:write'], tags: ['a'], metadata: { team: 'x"y\u2028' } };
      const key = await issueKey(app, admin, fields);
      const first = await verify({ key: key.secret, scopes: ['chat:write'] });
      const second = await verify({ key: key.secret, scopes: ['chat:write'] });
      expect(first).toMatchObject({
        status: 200,
        body: { valid: true, code: 'VALID', keyId: key.id, ...fields, roles: [], degraded: false },
      });
      expect(second.body).toEqual(first.body);
    });

    it.each([
      ['MALFORMED', 'no key at all'],
      ['MALFORMED', 'lk_live_short'],
      ['NOT_FOUND', `lk_live_${'a'.repeat(63)}`],
      ['NOT_FOUND', 'some-other-systems-key-0123456789'],
    ])('says %s of %s', async (code, key) => {
      expect((await verify({ key })).body).toMatchObject({ valid: false, code, degraded: false });
    });

    it('says what environment a key is of, and refuses the other where one is asked for', async () => {
      const live = await issueKey(app, admin, { allowedIps: ['203.0.113.7'] });
      const test = await issueKey(app, admin, { environment: 'test' });
      expect((await verify({ key: test.secret })).body).toMatchObject({ valid: true, environment: 'test' });
      expect((await verify({ key: test.secret, environment: 'test' })).body).toMatchObject({ valid: true });
      expect((await verify({ key: test.secret, environment: 'live' })).body).toMatchObject({
        valid: false,
        code: 'WRONG_ENVIRONMENT',
        environment: 'test',
      });
      // Before the address is looked at.
      expect((await verify({ key: live.secret, environment: 'test' })).body.code).toBe('WRONG_ENVIRONMENT');
      const { body } = await verify({ key: live.secret, environment: 'staging' });
      expect(body.errors).toEqual([{ path: 'environment', message: 'must be live or test' }]);
    });

    it('refuses to a service of one environment the keys of the other, whatever it asks', async () => {
      const own = await issueKey(app, admin, { roles: ['gateway'], verifiesEnvironment: 'live' });
      const live = await issueKey(app, admin);
      const test = await issueKey(app, admin, { environment: 'test' });
      const codeOf = async (body: object) =>
        (await app.post('/verify', { apiKey: own.secret, body })).body.code as string;
      expect(await codeOf({ key: live.secret })).toBe('VALID');
      expect(await codeOf({ key: test.secret })).toBe('WRONG_ENVIRONMENT');
      expect(await codeOf({ key: test.secret, environment: 'test' })).toBe('WRONG_ENVIRONMENT');
      expect(await codeOf({ key: test.secret, dryRun: true })).toBe('WRONG_ENVIRONMENT');
      const items = [{ key: test.secret }, { key: live.secret }];
      const batch = await app.post('/verify/batch', { apiKey: own.secret, body: { items } });
      expect(batch.body.results.map(({ code }: { code: string }) => code)).toEqual(['WRONG_ENVIRONMENT', 'VALID']);
      // A change of the service's own key counts at once.
      await app.patch(`/api-keys/${own.id}?wait=true`, { token: admin, body: { verifiesEnvironment: 'any' } });
      expect(await codeOf({ key: test.secret })).toBe('VALID');
    });

    it('lets a service of one environment make and change no key that verifies the other', async () => {
      await app.addRole('key-maker', [
        'platform:api-keys:create',
        'platform:api-keys:update',
        'platform:api-keys:verify',
      ]);
      const { id, secret } = await issueKey(app, admin, { roles: ['key-maker'], verifiesEnvironment: 'test' });
      const make = (body: object) => app.post('/api-keys', { apiKey: secret, body });
      for (const verifiesEnvironment of [undefined, 'any', 'live'])
        expect((await make({ verifiesEnvironment })).body.code).toBe('CANNOT_GRANT');
      expect((await make({ verifiesEnvironment: 'test' })).status).toBe(201);
      const loosened = await app.patch(`/api-keys/${id}`, { apiKey: secret, body: { verifiesEnvironment: 'any' } });
      expect([loosened.status, loosened.body.code]).toEqual([403, 'CANNOT_GRANT']);
    });

    it('says NOT_FOUND of a key of the other environment, though its tag is right', async () => {
      const key = await issueKey(app, admin);
      expect((await verify({ key: key.secret.replace('lk_live_', 'lk_test_') })).body.code).toBe('NOT_FOUND');
    });

    it.each([
      ['REVOKED', (id: string) => management.revoke(id)],
      ['DISABLED', (id: string) => management.deactivate(id)],
      ['EXPIRED', (id: string) => management.expire(id)],
    ])('says %s as soon as it is', async (code, change) => {
      const key = await issueKey(app, admin);
      expect((await verify({ key: key.secret })).body.code).toBe('VALID');
      await change(key.id);
      await eventually(async () =>
        expect((await verify({ key: key.secret })).body).toMatchObject({ valid: false, code, keyId: key.id }),
      );
    });

    it('refuses restricted keys to a call that names nothing', async () => {
      const key = await issueKey(app, admin, {
        allowedIps: ['203.0.113.0/24'],
        allowedModels: ['gpt-*'],
        allowedChatbots: ['support'],
        scopes: ['a'],
      });
      const right = { key: key.secret, ip: '203.0.113.7', model: 'gpt-4o', chatbot: 'support', scopes: ['a'] };
      expect((await verify(right)).body.code).toBe('VALID');
      for (const [name, wrong, code] of [
        ['ip', '198.51.100.1', 'IP_NOT_ALLOWED'],
        ['model', 'claude', 'MODEL_NOT_ALLOWED'],
        ['chatbot', 'other', 'CHATBOT_NOT_ALLOWED'],
      ] as const) {
        expect((await verify({ ...right, [name]: undefined })).body.code).toBe(code);
        expect((await verify({ ...right, [name]: wrong })).body.code).toBe(code);
      }
      expect((await verify({ ...right, scopes: ['a', 'b'] })).body.code).toBe('INSUFFICIENT_SCOPE');
    });

    it.each(ADDRESS_FORMS.filter(([written]) => written.length <= 512))(
      'reads the address in %j as %j',
      async (ip, address) => {
        const [free, restricted] = await restrictedKeys();
        expect((await verify({ key: free!.secret, ip })).body.code).toBe('VALID');
        const { status, body } = await verify({ key: restricted!.secret, ip });
        expect([status, body.code]).toEqual([
          200,
          address === '203.0.113.7' || address === '2001:db8::5' ? 'VALID' : 'IP_NOT_ALLOWED',
        ]);
        if (address === null)
          expect(body.detail).toBe('The key is restricted by address, and the ip that was given is no address.');
      },
    );

    it('takes null for absent', async () => {
      const key = await issueKey(app, admin);
      const nulls = {
        ip: null,
        model: null,
        chatbot: null,
        scopes: null,
        cost: null,
        reserveCents: null,
        reservationTtlSeconds: null,
        dryRun: null,
        explain: null,
      };
      expect((await verify({ key: key.secret, ...nulls })).body).toMatchObject({ valid: true, keyId: key.id });
      const explained = await app.post(`/api-keys/${key.id}/explain`, {
        token: admin,
        body: { ip: null, model: null, cost: null, reserveCents: null },
      });
      expect([explained.status, explained.body.code]).toEqual([200, 'VALID']);
      const byModel = await issueKey(app, admin, { allowedModels: ['gpt-4o'] });
      expect((await verify({ key: byModel.secret, model: null })).body.code).toBe('MODEL_NOT_ALLOWED');
    });

    it('allows what can be metered: names with spaces and of any script', async () => {
      const key = await issueKey(app, admin, {
        allowedModels: ['Claude 3.5 Sonnet', '通义*'],
        allowedChatbots: ['Süd Bot'],
      });
      expect((await verify({ key: key.secret, model: 'Claude 3.5 Sonnet', chatbot: 'Süd Bot' })).body.code).toBe(
        'VALID',
      );
      expect((await verify({ key: key.secret, model: '通义千问', chatbot: 'Süd Bot' })).body.code).toBe('VALID');
      expect((await verify({ key: key.secret, model: 'Claude 3.5', chatbot: 'Süd Bot' })).body.code).toBe(
        'MODEL_NOT_ALLOWED',
      );
    });

    it('holds an upper bound with the noise of a computation, rounded up', async () => {
      const key = await issueKey(app, admin, { budgetLimitCents: 10 });
      expect((await verify({ key: key.secret, reserveCents: 0.1 + 0.2 })).body.reservation.cents).toBe(0.300001);
    });

    it('lists every check when it is asked to explain', async () => {
      const key = await issueKey(app, admin, { allowedModels: ['gpt-4o'] });
      const { body } = await verify({ key: key.secret, explain: true });
      expect(body.checks.map((entry: { check: string; outcome: string }) => [entry.check, entry.outcome])).toEqual([
        ['revoked', 'passed'],
        ['active', 'passed'],
        ['expiry', 'passed'],
        ['owner', 'passed'],
        ['project', 'passed'],
        ['environment', 'passed'],
        ['address', 'passed'],
        ['model', 'failed'],
        ['chatbot', 'passed'],
        ['scopes', 'passed'],
        ['quota', 'skipped'],
      ]);
    });

    it('notes when key and secret were last used, and not for a dry run', async () => {
      const [used, tried] = [await issueKey(app, admin), await issueKey(app, admin)];
      await verify({ key: used.secret });
      await verify({ key: tried.secret, dryRun: true });
      const lastUsed = async (id: string) =>
        (
          await app.dataSource.query(
            `SELECT nullif(t.last_used_at, '-infinity') AS key, s.last_used_at AS secret FROM key_totals t JOIN api_key_secret s USING (key_id) WHERE key_id = $1`,
            [id],
          )
        )[0];
      await eventually(async () =>
        expect(await lastUsed(used.id)).toEqual({ key: expect.any(Date), secret: expect.any(Date) }),
      );
      expect(await lastUsed(tried.id)).toEqual({ key: null, secret: null });
    });
  });

  describe('400', () => {
    it('names every wrong field and coerces nothing', async () => {
      const { status, body } = await verify({
        key: '',
        ip: 7,
        cost: '1',
        reserveCents: -1e-7,
        scopes: ['with space'],
        dryRun: 1,
        reservationTtlSeconds: 1801,
        model: 'gpt-4o\n',
        extra: 1,
      });
      expect(status).toBe(400);
      expect(body.code).toBe('VALIDATION_FAILED');
      expect(body.errors.map((error: { path: string }) => error.path).sort()).toEqual([
        'cost',
        'dryRun',
        'extra',
        'ip',
        'key',
        'model',
        'reservationTtlSeconds',
        'reserveCents',
        'scopes.0',
      ]);
    });

    it('says what a model must be, before it holds anything', async () => {
      const key = await issueKey(app, admin, { allowedModels: ['gpt-4o*'], budgetLimitCents: 10 });
      const { status, body } = await verify({ key: key.secret, model: 'gpt-4o\n', reserveCents: 1 });
      expect([status, body.errors]).toEqual([
        400,
        [{ path: 'model', message: 'must be 1 to 128 characters without control characters' }],
      ]);
    });

    it('wants a body', async () => {
      expect((await app.post('/verify', { apiKey: service.secret })).status).toBe(400);
      expect((await verify([])).status).toBe(400);
      expect((await verify({})).body.errors).toEqual([{ path: 'key', message: 'must be given' }]);
    });
  });

  describe('401', () => {
    it('comes before the body is looked at', async () => {
      expect((await app.post('/verify', { body: {} })).status).toBe(401);
      expect((await app.post('/verify', { apiKey: `lk_live_${'a'.repeat(63)}`, body: {} })).status).toBe(401);
    });

    it('is the answer to a service whose own key is revoked, expired or disabled', async () => {
      for (const change of [
        management.revoke.bind(management),
        management.expire.bind(management),
        management.deactivate.bind(management),
      ]) {
        const own = await issueServiceKey(app, admin);
        const ask = () => app.post('/verify', { apiKey: own.secret, body: { key: service.secret } });
        expect((await ask()).status).toBe(200);
        await change(own.id);
        await eventually(async () => expect((await ask()).status).toBe(401));
      }
    });

    it('is the answer to a service that calls from another address than its key allows', async () => {
      const own = await issueKey(app, admin, { roles: ['gateway'], allowedIps: ['192.0.2.1'] });
      expect((await app.post('/verify', { apiKey: own.secret, body: { key: service.secret } })).status).toBe(401);
    });
  });

  describe('403', () => {
    it('names the permission a key lacks', async () => {
      const key = await issueKey(app, admin);
      const { status, body } = await app.post('/verify', { apiKey: key.secret, body: { key: key.secret } });
      expect(status).toBe(403);
      expect(body.permission).toBe('platform:api-keys:verify');
    });
  });
});
