import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { limitSubjectId } from '../../../src/quotas/limits/account-id.js';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { makeLimit } from '../../support/made-limits.js';
import { issueServiceKey } from '../../support/management.js';

interface Key {
  readonly id: string;
  readonly secret: string;
}

describe('Limits with an account for each subject', () => {
  let app: TestApp;
  let other: TestApp;
  let admin: string;
  let service: TestUser;
  let events = 0;
  const limits: string[] = [];

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    other = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' }, app.database);
    admin = await app.adminToken();
    service = await app.addUser(['gateway']);
  });
  afterAll(async () => {
    await other.stop();
    await app.stop();
  });
  afterEach(async () => {
    expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
    for (const id of limits.splice(0)) await app.delete(`/limits/${id}?wait=true`, { token: admin });
  });

  const newKey = async (): Promise<Key> => {
    const { body } = await app.post('/api-keys', { token: admin, body: {} });
    return { id: body.apiKey.id, secret: body.secretKey };
  };
  /** A key with a limit on it, which no replica knows before the limit is there. */
  const limited = async (fields: object): Promise<[Key, string]> => {
    const key = await newKey();
    const target = { kind: 'key', id: key.id };
    const limit = await makeLimit(app, admin, { name: 'Each user', each: 'subject', target, ...fields });
    limits.push(limit.id);
    return [key, limit.id];
  };
  const CALLS = { unit: 'requests', amountCents: undefined, amount: 3, per: 'day' };
  const verify = async (key: Key, body: Record<string, unknown> = {}, on = app) =>
    (await on.post('/verify', { token: service.token, body: { key: key.secret, ...body } })).body;
  const report = async (event: Record<string, unknown>) => {
    const body = { events: [{ id: `e${(events += 1)}`, ...event }] };
    const answer = (await app.post('/usage', { token: service.token, body })).body;
    expect(answer).toMatchObject({ accepted: 1 });
    return answer.results[0];
  };
  const account = async (limitId: string, subject: string) =>
    (await app.get(`/limits/${limitId}/accounts/${encodeURIComponent(subject)}`, { token: admin })).body;

  describe('A verify', () => {
    it('is counted for its subject alone, on every replica', async () => {
      const [key, limit] = await limited(CALLS);
      let valid = 0;
      await eventually(async () => {
        const verdicts = await Promise.all(
          Array.from({ length: 6 }, (_, at) => verify(key, { subject: 'eve' }, at % 2 ? app : other)),
        );
        valid += verdicts.filter((verdict) => verdict.valid).length;
        expect(valid).toBeLessThanOrEqual(3);
        expect(valid).toBe(3);
      });
      expect(await verify(key, { subject: 'eve' })).toMatchObject({
        code: 'RATE_LIMITED',
        limit: { id: limit, state: 'exhausted' },
      });
      expect(await verify(key, { subject: 'sam' })).toMatchObject({ code: 'VALID' });
      await eventually(async () => expect(await account(limit, 'eve')).toMatchObject({ used: 3, state: 'exhausted' }));
      await eventually(async () => expect(await account(limit, 'sam')).toMatchObject({ used: 1, state: 'ok' }));
    });

    it('without a subject is refused, and takes nothing of the others', async () => {
      const [key, limit] = await limited(CALLS);
      await app.patch(`/api-keys/${key.id}?wait=true`, { token: admin, body: { rateLimitPerMinute: 5 } });
      const refused = await verify(key);
      expect(refused).toMatchObject({
        ...{ valid: false, code: 'SUBJECT_REQUIRED' },
        detail: 'A limit of requests of the key counts for each subject, and no subject was given.',
        limit: { id: limit, name: 'Each user', unit: 'requests', per: 'day', state: 'ok' },
      });
      for (let count = 0; count < 3; count += 1)
        expect(await verify(key, { subject: `user-${count}` })).toMatchObject({ code: 'VALID' });
      // Of five in a minute three are used.
      const { rateLimits } = await verify(key, { subject: 'user-3' });
      expect(rateLimits[0]).toMatchObject({ window: 'minute', remaining: 1 });
    });

    it('of a model that the limit does not count needs none', async () => {
      const [key] = await limited({ ...CALLS, models: ['gpt-4*'] });
      expect(await verify(key, { model: 'mini' })).toMatchObject({ code: 'VALID' });
      expect(await verify(key, { model: 'gpt-4o' })).toMatchObject({ code: 'SUBJECT_REQUIRED' });
      expect(await verify(key)).toMatchObject({ code: 'SUBJECT_REQUIRED' });
    });

    it('needs none where the limit only observes', async () => {
      const [key, limit] = await limited({ ...CALLS, amount: 1, mode: 'observe' });
      expect(await verify(key)).toMatchObject({ code: 'VALID' });
      for (let count = 0; count < 3; count += 1)
        expect(await verify(key, { subject: 'eve' })).toMatchObject({ code: 'VALID' });
      await eventually(async () => expect(await account(limit, 'eve')).toMatchObject({ used: 3, state: 'ok' }));
    });

    it('in a batch is decided by its own subject', async () => {
      const [key] = await limited({ ...CALLS, amount: 1 });
      const items = ['eve', 'eve', undefined, 'sam'].map((subject) => ({ key: key.secret, subject }));
      const { body } = await app.post('/verify/batch', { token: service.token, body: { items } });
      expect(body.results.map(({ code }: { code: string }) => code)).toEqual([
        ...['VALID', 'RATE_LIMITED', 'SUBJECT_REQUIRED', 'VALID'],
      ]);
    });

    it('takes money of its subject, which the report settles whatever subject it names', async () => {
      const [key, limit] = await limited({ amountCents: 100, per: 'month' });
      const { reservation } = await verify(key, { subject: 'eve', reserveCents: 80 });
      expect(await verify(key, { subject: 'eve', reserveCents: 30 })).toMatchObject({
        code: 'BUDGET_EXCEEDED',
        limit: { id: limit },
      });
      expect(await verify(key, { subject: 'sam', reserveCents: 30 })).toMatchObject({ code: 'VALID' });
      await report({ reservationId: reservation.id, costCents: 55, subject: 'sam' });
      expect(await account(limit, 'eve')).toMatchObject({ used: 55 });
      expect(await account(limit, 'sam')).toMatchObject({ used: 0 });
    });

    it('takes a slot of its subject, and gives it back', async () => {
      const [key] = await limited({ unit: 'slots', amountCents: undefined, amount: 1, per: undefined });
      const { reservation } = await verify(key, { subject: 'eve' });
      expect(await verify(key, { subject: 'eve' })).toMatchObject({ code: 'CONCURRENCY_LIMITED' });
      expect(await verify(key, { subject: 'sam' })).toMatchObject({ code: 'VALID' });
      await report({ reservationId: reservation.id });
      await eventually(async () => expect(await verify(key, { subject: 'eve' })).toMatchObject({ code: 'VALID' }));
    });

    it('tells in a dry run and an explanation what it would come to', async () => {
      const [key, limit] = await limited({ ...CALLS, amount: 1 });
      expect(await verify(key, { dryRun: true })).toMatchObject({ code: 'SUBJECT_REQUIRED', limit: { id: limit } });
      expect(await verify(key, { dryRun: true, subject: 'eve' })).toMatchObject({ code: 'VALID' });
      expect(await verify(key, { subject: 'eve' })).toMatchObject({ code: 'VALID' });
      expect(await verify(key, { dryRun: true, subject: 'eve' })).toMatchObject({ code: 'RATE_LIMITED' });
      const explain = async (body: object) =>
        (await app.post(`/api-keys/${key.id}/explain`, { token: admin, body })).body;
      expect(await explain({})).toMatchObject({ valid: false, code: 'SUBJECT_REQUIRED' });
      expect(await explain({ subject: 'eve' })).toMatchObject({ valid: false, code: 'RATE_LIMITED' });
      expect(await explain({ subject: 'sam' })).toMatchObject({ valid: true });
    });

    it.each(['', 'a b', 'é', 'x'.repeat(129), '.', '..', 7, 'a\u0000'])('refuses %p as a subject', async (subject) => {
      const { status, body } = await app.post('/verify', { token: service.token, body: { key: 'x', subject } });
      expect([status, body.code, body.errors[0].path]).toEqual([400, 'VALIDATION_FAILED', 'subject']);
    });

    it('refuses a secret as a subject, because subjects are kept', async () => {
      const key = await newKey();
      const { status, body } = await app.post('/verify', {
        token: service.token,
        body: { key: key.secret, subject: key.secret },
      });
      expect([status, body.errors]).toEqual([400, [{ path: 'subject', message: 'must not contain an API key' }]]);
    });
  });

  describe('A limit by minute', () => {
    const PACE = { ...CALLS, per: 'minute' };
    const useUp = async (key: Key) => {
      let valid = 0;
      // What another replica has in hand for its next calls is back soon.
      await eventually(async () => {
        const calls = Array.from({ length: 6 }, (_, at) => verify(key, { subject: 'eve' }, at % 2 ? app : other));
        valid += (await Promise.all(calls)).filter((verdict) => verdict.valid).length;
        expect(valid).toBeLessThanOrEqual(3);
        expect(valid).toBe(3);
      });
    };

    it('counts each subject by itself on every replica, and says to each question what it would come to', async () => {
      const [key, limit] = await limited(PACE);
      await useUp(key);
      const refusal = { code: 'RATE_LIMITED', limit: { id: limit, per: 'minute', state: 'exhausted' } };
      const refused = await verify(key, { subject: 'eve' }, other);
      expect(refused).toMatchObject(refusal);
      expect(refused.retryAfterSeconds).toBeLessThanOrEqual(63);
      expect(await verify(key, { subject: 'eve', dryRun: true })).toMatchObject(refusal);
      expect(await verify(key, { dryRun: true })).toMatchObject({ code: 'SUBJECT_REQUIRED', limit: { id: limit } });
      const items = ['eve', 'sam', undefined].map((subject) => ({ key: key.secret, subject }));
      const { body } = await app.post('/verify/batch', { token: service.token, body: { items } });
      expect(body.results.map(({ code }: { code: string }) => code)).toEqual([
        ...['RATE_LIMITED', 'VALID', 'SUBJECT_REQUIRED'],
      ]);
      const explain = async (question: object) =>
        (await app.post(`/api-keys/${key.id}/explain`, { token: admin, body: question })).body;
      expect(await explain({ subject: 'eve' })).toMatchObject({ valid: false, code: 'RATE_LIMITED' });
      const sam = await explain({ subject: 'sam' });
      expect(sam).toMatchObject({ valid: true, tightest: { id: limit, amount: 3, used: 1 } });
      const { secret } = await issueServiceKey(app, admin);
      const headers = { 'x-latchkey-gateway-key': secret, 'x-api-key': key.secret };
      const ask = async (query: string) => (await app.get(`/forward-auth${query}`, { headers })).status;
      expect([await ask('?subject=eve'), await ask('?subject=lee'), await ask('')]).toEqual([429, 200, 403]);
    });

    it('has a list of those who called, amounts of their own, and goes on to hold when a subject is erased', async () => {
      const [key, limit] = await limited(PACE);
      await useUp(key);
      const own = `/limits/${limit}/accounts/sam?wait=true`;
      expect((await app.put(own, { token: admin, body: { amount: 4 } })).status).toBe(200);
      for (let count = 0; count < 4; count += 1)
        await eventually(async () => expect((await verify(key, { subject: 'sam' })).code).toBe('VALID'));
      expect(await verify(key, { subject: 'sam' })).toMatchObject({ code: 'RATE_LIMITED' });
      const listed = async (query = '') =>
        (await app.get(`/limits/${limit}/accounts${query}`, { token: admin })).body.data.map(
          ({ member, used }: { member: { name: string }; used: number }) => [member.name, used],
        );
      expect(await listed()).toEqual(
        expect.arrayContaining([
          ['sam', 4],
          ['eve', 3],
        ]),
      );
      expect(await listed('?member=eve&usedAbove=90')).toEqual([['eve', 3]]);
      const erased = await app.post('/subjects/erase', { token: admin, body: { subject: 'eve' } });
      expect(erased.body).toMatchObject({ limitCount: expect.any(Number), memberId: limitSubjectId('eve') });
      expect(await account(limit, 'eve')).toMatchObject({ used: 3, member: { kind: 'subject', name: null } });
      expect(await verify(key, { subject: 'eve' })).toMatchObject({ code: 'RATE_LIMITED' });
    });

    it('of tokens is held by reservations that do not have the subject, and charged by reports that do', async () => {
      const [key, limit] = await limited({ ...PACE, unit: 'tokens', amount: 100 });
      const { reservation } = await verify(key, { subject: 'eve-4711', reserveTokens: 90 });
      expect(Buffer.from(reservation.id, 'base64url').toString('latin1')).not.toContain('eve-4711');
      expect(await verify(key, { subject: 'eve-4711', reserveTokens: 20 })).toMatchObject({ code: 'RATE_LIMITED' });
      expect(await verify(key, { subject: 'sam', reserveTokens: 20 })).toMatchObject({ code: 'VALID' });
      await report({ reservationId: reservation.id, outputTokens: 30 });
      await report({ apiKeyId: key.id, subject: 'eve-4711', inputTokens: 5 });
      await report({ apiKeyId: key.id, inputTokens: 50 });
      await eventually(async () => expect(await account(limit, 'eve-4711')).toMatchObject({ used: 35, amount: 100 }));
    });
  });

  describe('A limit that is full', () => {
    const fill = (limitId: string) =>
      app.dataSource.query(
        `INSERT INTO limit_subject_count (limit_id, period, part, subjects)
         SELECT l.id, CASE WHEN l.per IN ('minute', 'hour') THEN 'window' ELSE p.name END, 99, 100000
           FROM quota_limit l, limit_period_at(quota_clock(), coalesce(l.per, 'total'), l.time_zone) p WHERE l.id = $1`,
        [limitId],
      );

    it.each([
      ['requests', { unit: 'requests', amountCents: undefined, amount: 9, per: 'day' }, {}],
      ['cents that are reserved', { amountCents: 900, per: 'day' }, { reserveCents: 1 }],
      ['cents that are not', { amountCents: 900, per: 'day' }, {}],
      ['slots', { unit: 'slots', amountCents: undefined, amount: 5, per: undefined }, {}],
      ['requests by minute', { unit: 'requests', amountCents: undefined, amount: 9, per: 'minute' }, {}],
      ['tokens by minute', { unit: 'tokens', amountCents: undefined, amount: 9, per: 'minute' }, { reserveTokens: 2 }],
    ])('of %s refuses further subjects, and goes on to serve those that it has', async (_, fields, asked) => {
      const [key, limit] = await limited(fields);
      expect(await verify(key, { subject: 'eve', ...asked })).toMatchObject({ code: 'VALID' });
      await fill(limit);
      expect(await verify(key, { subject: 'new', ...asked })).toMatchObject({
        code: 'TOO_MANY_SUBJECTS',
        detail: expect.stringContaining('as many subjects as a limit may have'),
        limit: { id: limit, state: 'ok' },
      });
      expect(await verify(key, { subject: 'eve', ...asked })).toMatchObject({ code: 'VALID' });
    });

    it('refuses nobody where it observes', async () => {
      const [key, limit] = await limited({ ...CALLS, mode: 'observe' });
      await fill(limit);
      expect(await verify(key, { subject: 'new' })).toMatchObject({ code: 'VALID' });
    });
  });

  describe('A report without a reservation', () => {
    it('charges the account of its subject', async () => {
      const [key, limit] = await limited({ amountCents: 100, per: 'month' });
      await report({ apiKeyId: key.id, costCents: 7, subject: 'eve' });
      expect(await account(limit, 'eve')).toMatchObject({
        used: 7,
        member: { kind: 'subject', id: 'eve', name: 'eve' },
      });
    });

    it('is booked without a subject too, and charges no account of one', async () => {
      const [key, limit] = await limited({ amountCents: 100, per: 'month' });
      await report({ apiKeyId: key.id, costCents: 7 });
      const { body } = await app.get(`/limits/${limit}/accounts`, { token: admin });
      expect(body.data).toEqual([]);
      const { body: usage } = await app.get(`/api-keys/${key.id}/usage`, { token: admin });
      expect(usage.totalCostCents).toBe(7);
    });

    it('is a repetition only with the same subject', async () => {
      const [key] = await limited({ amountCents: 100, per: 'month' });
      const event = { id: 'once', apiKeyId: key.id, costCents: 1, subject: 'eve' };
      const send = async (one: object) =>
        (await app.post('/usage', { token: service.token, body: { events: [one] } })).body.results[0].outcome;
      expect([await send(event), await send(event), await send({ ...event, subject: 'sam' })]).toEqual([
        ...['accepted', 'duplicate', 'conflict'],
      ]);
    });

    it('is refused with a wrong subject; with a reservation the subject is cut', async () => {
      const [key] = await limited({ amountCents: 100, per: 'month' });
      const { body } = await app.post('/usage', {
        token: service.token,
        body: { events: [{ id: 'wrong', apiKeyId: key.id, subject: 'a b' }] },
      });
      expect(body.results[0]).toMatchObject({ outcome: 'invalid', errors: [{ path: 'subject' }] });
      const { reservation } = await verify(key, { subject: 'eve', reserveCents: 1 });
      expect(await report({ reservationId: reservation.id, subject: 'a b' })).toMatchObject({ labelsCut: ['subject'] });
    });
  });

  describe('An amount of its own', () => {
    it('is given to a subject before its first call, and is in the trail without its text', async () => {
      const [key, limit] = await limited(CALLS);
      const path = `/limits/${limit}/accounts/${encodeURIComponent('user/7?')}`;
      const { status, body } = await app.put(`${path}?wait=true`, { token: admin, body: { amount: 4 } });
      expect([status, body.amount, body.member]).toEqual([200, 4, { kind: 'subject', id: 'user/7?', name: 'user/7?' }]);
      for (let count = 0; count < 4; count += 1)
        expect(await verify(key, { subject: 'user/7?' })).toMatchObject({ code: 'VALID' });
      expect(await verify(key, { subject: 'user/7?' })).toMatchObject({ code: 'RATE_LIMITED' });
      const trail = await app.get(`/audit-events?resourceId=${limit}&isRead=false`, { token: admin });
      const text = JSON.stringify(trail.body);
      expect(text).toContain(limitSubjectId('user/7?'));
      expect(text).not.toContain('user/7?');
      expect((await app.delete(path, { token: admin })).status).toBe(204);
    });
  });

  describe('A limit with each: subject', () => {
    it.each([
      [{ per: 'total' }, 'per'],
      [{ per: 'day', each: 'owner', target: { kind: 'key', id: '019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55' } }, 'each'],
    ])('is refused as %j', async (fields, path) => {
      const body = { name: 'A', amountCents: 1, each: 'subject', target: { kind: 'installation' }, ...fields };
      const answer = await app.post('/limits', { token: admin, body });
      expect([answer.status, answer.body.errors[0].path]).toEqual([400, path]);
    });

    it('may not begin beside a replica that takes it for one with an account for each owner', async () => {
      await app.dataSource.query('INSERT INTO replica (id, applied_seq, build_level) VALUES (gen_random_uuid(), 0, 5)');
      const body = { name: 'A', amountCents: 1, per: 'day', target: { kind: 'installation' } };
      const refused = await app.post('/limits', { token: admin, body: { ...body, each: 'subject' } });
      expect([refused.status, refused.body.code]).toEqual([409, 'LIMITS_NOT_ENFORCED']);
      const made = await app.post('/limits?dryRun=true', { token: admin, body: { ...body, each: 'owner' } });
      expect(made.status).toBe(200);
      await app.dataSource.query('DELETE FROM replica WHERE build_level = 5');
    });

    it('says itself in one sentence, and does not know how many accounts it will have', async () => {
      const body = { name: 'A', amountCents: 2000, per: 'day', each: 'subject', target: { kind: 'installation' } };
      const { body: told } = await app.post('/limits?dryRun=true', { token: admin, body });
      expect(told).toMatchObject({
        sentence: 'Each subject may spend at most 20.00 USD per day (UTC).',
        accountCount: null,
      });
    });
  });

  describe('The subject of events', () => {
    it('is what usage is summed up by, and is erased while sums stay', async () => {
      const [key, limit] = await limited({ amountCents: 100, per: 'month' });
      await report({ apiKeyId: key.id, costCents: 7, subject: 'eve@example.com' });
      await report({ apiKeyId: key.id, costCents: 5, subject: 'sam' });
      const groups = async () => {
        const { body } = await app.get('/usage/summary?groupBy=subject', { token: admin });
        return new Map(body.rows.map((row: { group: string; costCents: number }) => [row.group, row.costCents]));
      };
      expect((await groups()).get('eve@example.com')).toBe(7);
      const { body: single } = await app.get(`/usage/events?keyId=${key.id}`, { token: admin });
      expect(single.data.map(({ subject }: { subject: string }) => subject)).toEqual(['sam', 'eve@example.com']);
      const { body: ofSam } = await app.get(`/usage/events?keyId=${key.id}&subject=sam`, { token: admin });
      expect(ofSam.data.map(({ costCents }: { costCents: number }) => costCents)).toEqual([5]);

      const erased = await app.post('/subjects/erase', { token: admin, body: { subject: 'eve@example.com' } });
      const memberId = limitSubjectId('eve@example.com');
      expect([erased.status, erased.body]).toEqual([
        200,
        { memberId, limitCount: 1, eventCount: 1, archivedBefore: null },
      ]);
      expect((await groups()).has('eve@example.com')).toBe(false);
      expect(await account(limit, 'eve@example.com')).toMatchObject({
        used: 7,
        member: { kind: 'subject', id: memberId, name: null },
      });
      const rows = await app.dataSource.query(
        `SELECT count(*)::int AS count FROM audit_event WHERE audit_event::text LIKE '%eve@example.com%'`,
      );
      expect(rows[0].count).toBe(0);
      const again = await app.post('/subjects/erase', { token: admin, body: { subject: 'eve@example.com' } });
      expect(again.body).toMatchObject({ limitCount: 0, eventCount: 0 });
    });

    it('is what sums are of, in time, by key and in a project', async () => {
      const { body: project } = await app.post('/projects', { token: admin, body: { name: 'Chat' } });
      const [key, other] = [await newKey(), await newKey()];
      await app.post(`/api-keys/${key.id}/transfer`, { token: admin, body: { projectId: project.id } });
      for (const [apiKeyId, subject, costCents] of [
        ...([
          [key.id, 'kim', 3],
          [key.id, 'lee', 4],
          [other.id, 'kim', 9],
        ] as const),
      ])
        await report({ apiKeyId, subject, costCents });
      const sums = async (query: string, path = '/usage/summary') => {
        const { body } = await app.get(`${path}?subject=kim&${query}`, { token: admin });
        const rows = body.rows.map(({ costCents }: { costCents: number }) => costCents);
        return [body.totals.costCents, rows.filter((cost: number) => cost > 0), body.previous?.totals.requests];
      };
      expect(await sums('groupBy=key')).toEqual([12, [9, 3], undefined]);
      expect(await sums('compare=previous')).toEqual([12, [12], 0]);
      expect(await sums('groupBy=owner')).toEqual([12, [12], undefined]);
      expect(await sums('groupBy=project', `/projects/${project.id}/usage/summary`)).toEqual([3, [3], undefined]);
      const { body: wrong } = await app.get('/usage/summary?subject=kim&from=2020-01-01', { token: admin });
      expect(wrong.errors[0].path).toBe('from');
    });

    it('is erased by those alone who may erase people', async () => {
      const reader = await app.addUser(['creator']);
      const { status } = await app.post('/subjects/erase', { token: reader.token, body: { subject: 'eve' } });
      expect(status).toBe(403);
    });
  });
});
