import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LatchkeyClient, LatchkeyProblem, type SettlementRefused, type UsageProblem } from '@latchkey/client';
import { createHash } from 'node:crypto';
import { TestApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';

const NOBODY = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';

describe('The client, with a server', () => {
  let app: TestApp;
  let admin: LatchkeyClient;
  let service: LatchkeyClient;
  let problems: UsageProblem[];

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = new LatchkeyClient({ baseUrl: app.baseUrl, key: await app.adminToken() });
    const { secretKey } = await admin.keys.create({ name: 'A service', roles: ['gateway'] });
    problems = [];
    service = new LatchkeyClient({
      baseUrl: app.baseUrl,
      key: secretKey,
      usage: { onProblem: (problem) => problems.push(problem) },
    });
  });
  afterAll(async () => {
    await service.close();
    await admin.close();
    await app.stop();
  });

  describe('verify', () => {
    it('gives the verdict with limits, and counts', async () => {
      const { secretKey, apiKey } = await admin.keys.create({
        scopes: ['chat:write'],
        allowedModels: ['gpt-4o*'],
        rateLimitPerMinute: 2,
      });
      const question = { key: secretKey, model: 'gpt-4o-mini', scopes: ['chat:write'], ip: '203.0.113.7' };
      expect(await service.verify(question)).toMatchObject({
        valid: true,
        code: 'VALID',
        keyId: apiKey.id,
        rateLimits: [{ window: 'minute', limit: 2, remaining: 1 }],
        degraded: false,
      });
      await service.verify(question);
      expect(await service.verify(question)).toMatchObject({
        valid: false,
        code: 'RATE_LIMITED',
        retryAfterSeconds: expect.any(Number),
      });
      expect(await service.verify({ ...question, model: 'o3' })).toMatchObject({
        valid: false,
        code: 'MODEL_NOT_ALLOWED',
      });
    });

    it('decides several at once, each by itself', async () => {
      const { secretKey } = await admin.keys.create();
      const verdicts = await service.verifyAll([
        { key: secretKey },
        { key: '' },
        { key: `${secretKey.slice(0, -1)}#` },
        { key: secretKey, scopes: ['x'] },
      ]);
      expect(verdicts.map(({ code }) => code)).toEqual(['VALID', 'MALFORMED', 'MALFORMED', 'INSUFFICIENT_SCOPE']);
    });

    it('decides those of one turn in their order, each by itself, as it would alone', async () => {
      const { secretKey, apiKey } = await admin.keys.create({ rateLimitPerMinute: 2 });
      const questions = [
        { key: secretKey },
        { key: secretKey, model: 'gpt-4o\n' },
        { key: 'made-up' },
        { key: secretKey },
        { key: secretKey },
      ];
      const outcomes = await Promise.allSettled(questions.map((question) => service.verify(question)));
      expect(outcomes).toMatchObject([
        { value: { code: 'VALID', keyId: apiKey.id } },
        { reason: { status: 400, code: 'VALIDATION_FAILED', errors: [{ path: 'model' }] } },
        { value: { code: 'MALFORMED' } },
        { value: { code: 'VALID', keyId: apiKey.id } },
        { value: { code: 'RATE_LIMITED' } },
      ]);
    });

    it('throws when the service itself may not ask', async () => {
      const { secretKey } = await admin.keys.create();
      const stranger = new LatchkeyClient({ baseUrl: app.baseUrl, key: secretKey });
      await expect(stranger.verify({ key: secretKey })).rejects.toMatchObject({
        status: 403,
        code: 'PERMISSION_DENIED',
        requestId: expect.any(String),
      });
    });

    it('throws for a question that is wrong, with every field', async () => {
      const error: unknown = await service
        .verify({ key: 'k', model: 'gpt-4o\n', cost: 0 })
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(LatchkeyProblem);
      expect((error as LatchkeyProblem).errors.map(({ path }) => path).sort()).toEqual(['cost', 'model']);
    });
  });

  describe('reserve and settle', () => {
    it('throws a settlement that was refused, with the event to report again', async () => {
      const { secretKey, apiKey } = await admin.keys.create({ budgetLimitCents: 10 });
      await service.reportUsage({ id: 'taken', apiKeyId: apiKey.id, costCents: 1 });
      const lost: unknown = await service
        .withReservation(secretKey, 5, (hold) => {
          hold.record({ id: 'taken', costCents: 2 });
          return 'the answer';
        })
        .catch((error: unknown) => error);
      expect(lost).toMatchObject({ name: 'SettlementRefused', outcome: 'conflict', result: 'the answer' });
      const { event } = lost as SettlementRefused;
      expect(problems.splice(0)).toMatchObject([{ kind: 'not-booked', event }]);
      expect(await service.reportUsage({ ...event, id: undefined })).toMatchObject({ outcome: 'accepted' });
      expect((await admin.keys.usage(apiKey.id)).budget).toMatchObject({ spentCents: 3, heldCents: 0 });
    });

    it('holds, and replaces the hold by what was used', async () => {
      const { secretKey, apiKey } = await admin.keys.create({ budgetLimitCents: 10, budgetType: 'monthly' });
      const verdict = await service.reserve(secretKey, 8, { reservationTtlSeconds: 120 });
      if (!verdict.valid) throw new Error(verdict.code);
      expect(await service.reserve(secretKey, 3)).toMatchObject({
        valid: false,
        code: 'BUDGET_EXCEEDED',
        retryAfterSeconds: expect.any(Number),
      });
      expect(await service.settle(verdict.reservation, { costCents: 1.25, inputTokens: 800 })).toMatchObject({
        outcome: 'accepted',
      });
      expect(await service.settle(verdict.reservation, { costCents: 1.25, inputTokens: 800 })).toMatchObject({
        outcome: 'duplicate',
      });
      expect((await admin.keys.usage(apiKey.id)).budget).toMatchObject({ spentCents: 1.25, heldCents: 0 });
    });

    it('holds for a key without a budget too', async () => {
      const { secretKey } = await admin.keys.create();
      expect(await service.reserve(secretKey, 8)).toMatchObject({ valid: true, reservation: { cents: 8 } });
    });

    it('releases what was not used, once or twice', async () => {
      const { secretKey, apiKey } = await admin.keys.create({ budgetLimitCents: 10 });
      const verdict = await service.reserve(secretKey, 8);
      if (!verdict.valid) throw new Error(verdict.code);
      for (let time = 0; time < 2; time += 1)
        expect(await service.release(verdict.reservation)).toMatchObject({ released: true, cents: 8 });
      expect((await admin.keys.usage(apiKey.id)).budget).toMatchObject({ spentCents: 0, heldCents: 0 });
    });

    it('charges work what it has recorded, and nothing where it failed before', async () => {
      const { secretKey, apiKey } = await admin.keys.create({ budgetLimitCents: 10 });
      await service.withReservation(secretKey, 5, (hold) =>
        hold.record({ costCents: 2.5, outputTokens: 40, model: 'gpt-4o-mini' }),
      );
      await service.withReservation(secretKey, 5, () => Promise.reject(new Error('upstream'))).catch(() => undefined);
      await service.flush();
      await expect(service.withReservation(secretKey, 9, () => undefined)).rejects.toMatchObject({
        code: 'BUDGET_EXCEEDED',
      });
      const usage = await admin.keys.usage(apiKey.id);
      expect(usage).toMatchObject({ totalRequests: 1, totalTokens: 40, budget: { spentCents: 2.5 } });
    });
  });

  describe('a limit of tokens by minute', () => {
    it('refuses a call by a KeyRefused that carries it, and has again what was not used', async () => {
      const { id: projectId } = await admin.call('post', '/projects', { body: { name: 'Tokens a minute' } });
      const { id } = (await admin.call('post', '/limits', {
        query: { wait: 'true' },
        body: { name: 'Pace', unit: 'tokens', amount: 1000, per: 'minute', target: { kind: 'project', id: projectId } },
      })) as { id: string };
      const { secretKey } = await admin.keys.create({ projectId });
      const call = (tokens: number, used: number) =>
        service.withReservation(secretKey, { tokens }, (hold) => hold.record({ outputTokens: used, costCents: 1 }));
      await call(900, 100);
      const refused = { name: 'KeyRefused', code: 'RATE_LIMITED', limit: { id, unit: 'tokens', per: 'minute' } };
      await expect(call(901, 0)).rejects.toMatchObject({ ...refused, retryAfterSeconds: expect.any(Number) });
      await expect(call(1001, 0)).rejects.toMatchObject({ ...refused, retryAfterSeconds: null });
      // What a replica takes ahead is back within a second or two.
      await eventually(async () => {
        await call(900, 900);
      });
    });
  });

  describe('report', () => {
    it('says of each event what became of it', async () => {
      const { apiKey } = await admin.keys.create();
      const report = (id: string, apiKeyId: string, costCents: number) =>
        service.reportUsage({ id, apiKeyId, costCents });
      const results = [
        report('a', apiKey.id, 1),
        report('a', apiKey.id, 1),
        report('a', apiKey.id, 2),
        report('b', NOBODY, 1),
        report('c', apiKey.id, 0.5),
      ];
      const wrong = service.reportUsage({ id: 'd', apiKeyId: apiKey.id, costCents: -1 });
      expect((await Promise.all(results)).map(({ outcome }) => outcome)).toEqual([
        'accepted',
        'duplicate',
        'conflict',
        'unknown-key',
        'accepted',
      ]);
      await expect(wrong).rejects.toMatchObject({ code: 'REJECTED', event: { id: 'd' } });
      expect(
        problems.map((problem) => (problem.kind === 'not-booked' ? problem.result.outcome : problem.kind)).sort(),
      ).toEqual(['conflict', 'undelivered', 'unknown-key']);
      expect(await admin.keys.usage(apiKey.id)).toMatchObject({ totalRequests: 2, totalCostCents: 1.5 });
    });

    it('delivers more than fit into one request', async () => {
      const { apiKey } = await admin.keys.create();
      for (let index = 0; index < 2_500; index += 1)
        void service.reportUsage({ id: `many-${index}`, apiKeyId: apiKey.id, costCents: 0.001 });
      await service.flush();
      expect(await admin.keys.usage(apiKey.id)).toMatchObject({ totalRequests: 2_500, totalCostCents: 2.5 });
      expect(service.queuedUsage).toBe(0);
    });
  });

  describe('manage', () => {
    it('walks a key through its life', async () => {
      const made = await admin.keys.create(
        { name: 'Billing', tags: ['life'], alias: 'billing' },
        { idempotencyKey: 'once' },
      );
      expect(
        await admin.keys.create({ name: 'Billing', tags: ['life'], alias: 'billing' }, { idempotencyKey: 'once' }),
      ).toEqual(made);
      const { id } = made.apiKey;
      expect(await admin.keys.get(id)).toMatchObject({ name: 'Billing', status: 'active' });
      expect(
        await admin.keys.update(id, { scopes: ['chat:write'], rateLimitPerMinute: null }, { wait: true }),
      ).toMatchObject({ scopes: ['chat:write'] });
      const renewed = await admin.keys.upsertByAlias('billing', { name: 'Billing again' });
      expect(renewed).toMatchObject({ apiKey: { id, name: 'Billing again' } });
      const regenerated = await admin.keys.regenerate(id, { overlapSeconds: 60 });
      expect((await admin.keys.get(id)).secrets).toHaveLength(2);
      const old = (await admin.keys.get(id)).secrets.at(-1)!;
      expect((await admin.keys.endSecret(id, old.kid, { wait: true })).secrets).toHaveLength(1);
      expect((await service.verify({ key: made.secretKey })).code).toBe('REVOKED');
      expect((await service.verify({ key: regenerated.secretKey })).code).toBe('VALID');
      expect((await admin.keys.deactivate(id, { wait: true })).isActive).toBe(false);
      expect((await admin.keys.explain(id)).code).toBe('DISABLED');
      expect((await admin.keys.activate(id)).isActive).toBe(true);
      expect((await admin.keys.renew(id, { expiresAt: '2099-01-01T00:00:00Z' })).expiresAt).toBe(
        '2099-01-01T00:00:00.000Z',
      );
      expect(await admin.keys.revoke(id, { reason: 'Leaked', wait: true })).toMatchObject({ revoked: true });
      expect(await service.verify({ key: regenerated.secretKey })).toMatchObject({ valid: false, code: 'REVOKED' });
      await expect(admin.keys.revoke(id)).rejects.toMatchObject({
        status: 409,
        code: 'ALREADY_REVOKED',
        members: { revokedAt: expect.any(String) },
      });
      expect(await admin.keys.usageSeries(id, { interval: 'day' })).toMatchObject({ interval: 'day' });
      expect(await admin.keys.usageEvents(id, { limit: '10' })).toEqual({
        data: [],
        nextCursor: null,
        archivedBefore: null,
      });
      await admin.keys.deletePermanently(id);
      await expect(admin.keys.get(id)).rejects.toMatchObject({ status: 404, code: 'API_KEY_NOT_FOUND' });
    });

    it('lists page after page, with filters', async () => {
      const sha256 = (index: number) => createHash('sha256').update(`old-${index}`).digest('hex');
      const old = Array.from({ length: 103 }, (_, index) => ({
        sha256: sha256(index),
        prefix: 'old_',
        name: `Old ${index}`,
        tags: ['listed', 'many'],
      }));
      expect((await admin.keys.import(old)).results.map(({ outcome }) => outcome)).toEqual(old.map(() => 'created'));
      const found: string[] = [];
      for await (const { id } of admin.keys.listAll({ tag: ['listed', 'many'], status: 'active' })) found.push(id);
      expect(new Set(found).size).toBe(103);
      const revoked = await admin.keys.bulk({ ids: found, action: 'revoke' }, { wait: true });
      expect(revoked.counts).toMatchObject({ done: 103 });
      expect((await admin.keys.list({ tag: ['listed'], status: 'active' })).meta.total).toBe(0);
    });

    it('calls any other operation of the contract', async () => {
      expect((await admin.call('get', '/roles')).data.map(({ name }) => name)).toContain('gateway');
      const user = await admin.call('post', '/users', {
        body: { email: 'ada@latchkey.test', name: 'Ada', kind: 'service' },
      });
      expect(await admin.call('get', '/users/{id}', { path: { id: user.id } })).toMatchObject({ name: 'Ada' });
      const { apiKey } = await admin.keys.create();
      expect(await admin.keys.transfer(apiKey.id, user.id)).toMatchObject({ ownerId: user.id });
      expect(
        await admin.call('delete', '/users/{id}', { path: { id: user.id }, query: { keys: 'revoke' } }),
      ).toBeUndefined();
    });
  });
});
