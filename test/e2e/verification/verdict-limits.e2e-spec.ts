import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { MEMBERS_OF, LIMIT_TARGETS } from '../../../packages/contract/src/limit.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { type TestKey, makeKey } from '../../support/made-keys.js';
import { makeLimit, storeLimit } from '../../support/made-limits.js';

interface Told {
  id: string | null;
  name?: string;
  unit: string;
  per: string | null;
  state: string;
  amount?: number;
  used?: number;
  held?: number;
  remaining?: number;
  resetsAt?: string;
  resetSeconds?: number;
}
type Credentials = { readonly token?: string; readonly apiKey?: string };

const CELLS = LIMIT_TARGETS.flatMap((kind) => MEMBERS_OF[kind].map((each) => ({ kind, each })));
/** A limit of the installation has an account for each subject. */
const CALL = { subject: 'eve' };
/** Of which cells numbers are told, by target: those of all calls, each key, each owner and each subject. */
const ALL = 'yes yes, yes yes yes, yes yes yes yes, yes yes yes yes';
const OWNED = 'yes yes, yes yes yes, no yes yes no, no yes yes no';
const OF_KEY = 'yes yes, no yes no, no yes no no, no yes no no';
const NONE = 'no no, no no no, no no no no, no no no no';
const VERIFIER = ['platform:api-keys:verify', 'platform:api-keys:read'] as const;

describe('Limits in a verdict', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;
  let projectId: string;
  /** In the project, with a limit for each cell. */
  let key: TestKey;
  const callers = new Map<string, Credentials>();
  /** Of the cells, in their order. */
  const cells: string[] = [];

  const verify = async (secret: string, body: object = {}, credentials = callers.get('a service')) =>
    (await app.post('/verify', { ...credentials, body: { ...CALL, key: secret, ...body } })).body as {
      code: string;
      tightest?: Told;
      limits?: Told[];
      limit?: Told;
      rateLimits?: object[];
    };

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    await app.addRole('verifier', VERIFIER);
    await app.addRole('limit-reader', [...VERIFIER, 'platform:limits:read']);
    owner = await app.addUser(['verifier', 'creator']);
    const member = await app.addUser(['verifier']);
    projectId = (await app.post('/projects', { token: admin, body: { name: 'Search' } })).body.id;
    await app.put(`/projects/${projectId}/members/${member.id}`, { token: admin, body: { role: 'member' } });
    key = await makeKey(app, admin, {
      ...{ projectId, ownerId: owner.id, roles: ['verifier'], budgetLimitCents: 500, budgetType: 'monthly' },
      rateLimitPerMinute: 1000,
    });
    const ids = { key: key.id, owner: owner.id, project: projectId };
    for (const { kind, each } of CELLS) {
      const target = kind === 'installation' ? { kind } : { kind, id: ids[kind] };
      // A target has three limits of cents at most.
      const counted = each === 'subject' ? { unit: 'requests', amountCents: undefined, amount: 1000 } : {};
      const name = `${kind} ${each ?? '-'}`;
      const limit = await makeLimit(app, admin, { name, target, ...counted, ...(each && { each }) });
      cells.push(limit.id);
    }
    callers.set('a holder of the permission', { token: (await app.addUser(['limit-reader'])).token });
    callers.set('the owner of the key', { token: owner.token });
    callers.set('a member of the project', { token: member.token });
    callers.set('the key', { apiKey: key.secret });
    callers.set('another owner', { token: (await app.addUser(['verifier'])).token });
    callers.set('a service', { apiKey: (await makeKey(app, admin, { roles: ['verifier'] })).secret });
    await app.applied();
  });
  afterAll(() => app.stop());

  /** For each cell, whether an answer tells its numbers. What is told without them has no name either. */
  const seenIn = (told: readonly Told[]): string =>
    byTarget((id) => {
      const one = told.find((limit) => limit.id === id)!;
      const isSeen = one.remaining !== undefined;
      for (const field of ['name', 'amount', 'used', 'held'] as const)
        expect([field, one[field] !== undefined]).toEqual([field, isSeen]);
      expect(one.state).toBe('ok');
      return isSeen;
    });
  const byTarget = (isSeen: (id: string) => boolean): string =>
    LIMIT_TARGETS.map((kind) =>
      cells
        .filter((_, place) => CELLS[place]!.kind === kind)
        .map((id) => (isSeen(id) ? 'yes' : 'no'))
        .join(' '),
    ).join(', ');

  it('are of these cells', () => {
    expect(CELLS.map(({ kind, each }) => `${kind} ${each ?? '-'}`)).toEqual([
      ...['key -', 'key subject', 'owner -', 'owner key', 'owner subject'],
      ...['project -', 'project key', 'project owner', 'project subject'],
      ...['installation -', 'installation key', 'installation owner', 'installation subject'],
    ]);
  });

  describe.each([
    ['a holder of the permission', ALL, ALL],
    ['the owner of the key', OWNED, OWNED],
    // A verify asks the database about no caller: members read the numbers at the routes.
    ['a member of the project', 'no no, no no no, yes yes yes yes, no no no no', NONE],
    ['the key', OF_KEY, OF_KEY],
    ['another owner', NONE, NONE],
    ['a service', NONE, NONE],
  ])('tell %s', (who, read, verified) => {
    it(`at the routes and in an explanation: ${read}`, async () => {
      const { body: bound } = await app.get(`/api-keys/${key.id}/limits`, callers.get(who));
      const byId = new Map((bound.data as { id: string; details: object | null }[]).map((one) => [one.id, one]));
      expect(byTarget((id) => byId.get(id)!.details !== null)).toBe(read);
      const { body } = await app.post(`/api-keys/${key.id}/explain`, { ...callers.get(who)!, body: CALL });
      expect(seenIn(body.limits)).toBe(read);
    });

    it(`in a verdict: ${verified}`, async () => {
      const { code, limits, tightest } = await verify(key.secret, { include: ['limits'] }, callers.get(who));
      expect(code).toBe('VALID');
      expect(seenIn(limits!)).toBe(verified);
      expect(limits!.filter(({ id }) => id === null).map(({ unit, per }) => `${unit} ${per}`)).toEqual([
        'requests minute',
        'cents month',
      ]);
      expect(tightest!.remaining).toBeDefined();
      const { limits: dry } = await verify(key.secret, { include: ['limits'], dryRun: true }, callers.get(who));
      expect(seenIn(dry!)).toBe(verified);
    });
  });

  it('are told where they are asked for alone: the tightest one is told always', async () => {
    const plain = await verify(key.secret);
    expect(plain.limits).toBeUndefined();
    expect(plain.tightest).toMatchObject({ id: null });
    const batch = await app.post('/verify/batch', {
      ...callers.get('a service')!,
      body: { items: [{}, { include: ['limits'] }].map((asked) => ({ ...CALL, key: key.secret, ...asked })) },
    });
    expect(batch.body.results.map(({ limits }: { limits?: Told[] }) => limits?.length)).toEqual([
      undefined,
      2 + cells.length,
    ]);
    const wrong = await app.post('/verify', {
      ...callers.get('a service')!,
      body: { key: key.secret, include: ['everything'] },
    });
    expect(wrong.body.errors).toEqual([{ path: 'include.0', message: 'must be limits' }]);
  });

  it('are the same in memory, in the database and at the routes, in one vocabulary', async () => {
    const [one, reader] = [await newBoundKey(), callers.get('a holder of the permission')!];
    const limit = await makeLimit(app, admin, { target: { kind: 'key', id: one.id }, amountCents: 80, per: 'week' });
    const tokens = await makeLimit(app, admin, {
      ...{ target: { kind: 'key', id: one.id }, unit: 'tokens', amountCents: undefined, amount: 10_000, per: 'month' },
    });
    await app.applied();
    const held = await verify(one.secret, { reserveCents: 30, reserveTokens: 4000, include: ['limits'] }, reader);
    const numbers = ({ unit, amount, used, held, remaining }: Told) => ({ unit, amount, used, held, remaining });
    const of = (told: readonly Told[], id: string) => numbers(told.find((other) => other.id === id)!);
    const expected = { unit: 'cents', amount: 80, used: 0, held: 30, remaining: 50 };
    expect(of(held.limits!, limit.id)).toEqual(expected);
    expect(of(held.limits!, tokens.id)).toEqual({
      unit: 'tokens',
      amount: 10_000,
      used: 0,
      held: 4000,
      remaining: 6000,
    });
    expect(held.tightest).toMatchObject({ id: tokens.id, name: tokens.name, per: 'month', remaining: 6000 });
    expect(Date.parse(held.tightest!.resetsAt!)).toBeGreaterThan(Date.now());
    expect(held.tightest!.resetSeconds).toBeGreaterThan(0);
    // What the replica holds ahead is given back within a second.
    await eventually(async () => {
      const { body } = await app.post(`/api-keys/${one.id}/explain`, { ...reader, body: CALL });
      expect(of(body.limits, limit.id)).toEqual(expected);
      expect(body.tightest).toMatchObject({ id: tokens.id, remaining: 6000 });
      const { body: bound } = await app.get(`/api-keys/${one.id}/limits`, reader);
      const { details } = bound.data.find(({ id }: { id: string }) => id === limit.id);
      expect(numbers({ ...details.account, unit: 'cents' })).toEqual(expected);
    });
  });

  it('name the one with the least left of those that the caller may know, however much of others is left', async () => {
    const one = await newBoundKey({ rateLimitPerMinute: 100 });
    const nearlyFull = await makeLimit(app, admin, { target: { kind: 'key', id: one.id }, amountCents: 100 });
    await app.applied();
    await verify(one.secret, { reserveCents: 90 });
    // A service that may not know the limit would learn how much is left of it by seeing it take the place of another.
    expect((await verify(one.secret)).tightest).toMatchObject({ id: null, per: 'minute', remaining: 98 });
    const reader = callers.get('a holder of the permission')!;
    expect((await verify(one.secret, {}, reader)).tightest).toMatchObject({ id: nearlyFull.id, remaining: 10 });
    const bare = await newBoundKey();
    const only = await makeLimit(app, admin, { target: { kind: 'key', id: bare.id }, amountCents: 100 });
    await app.applied();
    const { tightest } = await verify(bare.secret);
    expect(tightest).toEqual({
      ...{ id: only.id, unit: 'cents', per: 'day', state: 'ok' },
      ...{ resetsAt: expect.stringMatching(/T00:00:00.000Z$/), resetSeconds: expect.any(Number) },
    });
  });

  it('tell with a refusal the numbers of the limit that refused, to those who may know them', async () => {
    const one = await newBoundKey();
    const limit = await makeLimit(app, admin, { target: { kind: 'key', id: one.id }, amountCents: 100 });
    await app.applied();
    await verify(one.secret, { reserveCents: 60 });
    const refused = await verify(one.secret, { reserveCents: 50 });
    expect(refused).toMatchObject({ code: 'BUDGET_EXCEEDED', limit: { id: limit.id, state: 'exhausted' } });
    expect([refused.limit!.amount, refused.tightest]).toEqual([undefined, undefined]);
    const reader = callers.get('a holder of the permission')!;
    const { limit: told } = await verify(one.secret, { reserveCents: 50 }, reader);
    expect(told).toMatchObject({ id: limit.id, amount: 100, used: 0, held: 60, remaining: 40 });
  });

  it('are without numbers in a verdict where this replica knows none: calls in flight, and what only observes', async () => {
    const project = (await app.post('/projects', { token: admin, body: { name: 'Streams' } })).body.id;
    const one = await newBoundKey({ projectId: project });
    const slots = await storeLimit(app, { unit: 'slots', amount: 5, projectId: project });
    const observed = await makeLimit(app, admin, { mode: 'observe', target: { kind: 'project', id: project } });
    await app.applied();
    const reader = callers.get('a holder of the permission')!;
    await eventually(async () => {
      const { limits } = await verify(one.secret, { include: ['limits'] }, reader);
      const told = new Map(limits!.map((limit) => [limit.id, limit]));
      expect(told.get(slots)).toEqual({ id: slots, unit: 'slots', per: null, state: 'ok' });
      expect(told.get(observed.id)).toMatchObject({ unit: 'cents', state: 'ok' });
      expect(told.get(observed.id)!.amount).toBeUndefined();
    });
    const { body } = await app.post(`/api-keys/${one.id}/explain`, { ...reader, body: CALL });
    const told = new Map((body.limits as Told[]).map((limit) => [limit.id, limit]));
    expect(told.get(slots)).toMatchObject({ unit: 'slots', amount: 5, used: expect.any(Number), held: 0 });
    expect(told.get(observed.id)).toMatchObject({ amount: 1000, used: 0, remaining: 1000 });
  });

  it('leave a verdict as it is where nothing limits the call', async () => {
    const free = await TestApp.start();
    try {
      const token = await free.adminToken();
      const { secret } = await makeKey(free, token);
      const { body } = await free.post('/verify', { token, body: { key: secret } });
      expect([body.code, 'tightest' in body, 'limits' in body]).toEqual(['VALID', false, false]);
      const { body: asked } = await free.post('/verify', { token, body: { key: secret, include: ['limits'] } });
      expect(asked.limits).toEqual([]);
    } finally {
      await free.stop();
    }
  });

  /** Of an owner of its own, bound by the limits of the installation: observed here, so that none is in the way. */
  async function newBoundKey(fields: object = {}): Promise<TestKey> {
    const { body } = await app.post('/users', { token: admin, body: { name: 'Team', kind: 'service' } });
    return makeKey(app, admin, { ownerId: body.id, ...fields });
  }
});
