import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { LimitUnit } from '../../../packages/contract/src/limit.js';
import { ENFORCED_UNITS } from '../../../src/quotas/limits/enforced-units.js';
import { LimitAccountsRepository } from '../../../src/limits/limit-accounts.repository.js';
import { LimitAccounts } from '../../../src/quotas/limits/limit-accounts.js';
import { TestApp } from '../../support/app.js';
import { makeKey, pathsOf } from '../../support/made-keys.js';
import { type StoredLimit, charge, storeLimit } from '../../support/made-limits.js';
import { trailOf } from '../../support/trail.js';

/** A right amount and period of each unit. */
const RIGHT: Readonly<Record<LimitUnit, object>> = {
  cents: { amountCents: 500.25, per: 'month' },
  tokens: { unit: 'tokens', amount: 1_000_000, per: 'month' },
  requests: { unit: 'requests', amount: 20, per: 'day', timeZone: 'Europe/Berlin' },
  slots: { unit: 'slots', amount: 5 },
};
const SAID: Readonly<Record<LimitUnit, string>> = {
  cents: 'may spend at most 5.0025 USD per month (UTC).',
  tokens: 'may use at most 1,000,000 tokens per month (UTC).',
  requests: 'may make at most 20 calls per day (Europe/Berlin).',
  slots: 'may make at most 5 calls at once.',
};

describe('A limit of a unit', () => {
  let app: TestApp;
  let admin: string;
  let names = 0;

  const project = async () =>
    (await app.post('/projects', { token: admin, body: { name: `Units ${++names}` } })).body.id as string;
  const create = async (more: object, query = '') =>
    app.post(`/limits${query}`, {
      token: admin,
      body: { name: `Limit ${++names}`, target: { kind: 'project', id: await project() }, ...more },
    });
  const stored = async (fields: Omit<StoredLimit, 'projectId'>) =>
    storeLimit(app, { projectId: await project(), ...fields });
  const get = async (id: string) => (await app.get(`/limits/${id}`, { token: admin })).body;
  const patch = (id: string, body: object, query = '') => app.patch(`/limits/${id}${query}`, { token: admin, body });

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  const enforced: readonly LimitUnit[] = ENFORCED_UNITS;

  it.each(enforced)('is made, says what it bounds, and is found by its unit: %s', async (unit) => {
    const { status, body } = await create({ ...RIGHT[unit], each: 'owner' });
    expect([status, body.errors]).toEqual([201, undefined]);
    expect(body.sentence).toBe(`Each owner in project ${body.target.name} ${SAID[unit]}`);
    expect(body).toMatchObject({ unit, per: unit === 'slots' ? null : expect.any(String) });
    const found = (await app.get(`/limits?unit=${unit}&target=project:${body.target.id}`, { token: admin })).body.data;
    expect(found).toEqual([body]);
    expect((await trailOf(app, body.id)).at(-1)!.changes).toContainEqual(
      unit === 'cents'
        ? { field: 'amountCents', before: null, after: 500.25 }
        : { field: 'amount', before: null, after: body.amount },
    );
    const again = await create({ ...RIGHT[unit], each: 'owner', target: { kind: 'project', id: body.target.id } });
    expect(again.body).toMatchObject({ status: 409, code: 'LIMIT_EXISTS', limitId: body.id });
  });

  it('that is not enforced is not made', async () => {
    const others = (['cents', 'tokens', 'requests', 'slots'] as const).filter((unit) => !enforced.includes(unit));
    for (const unit of others) expect(pathsOf(await create(RIGHT[unit]))).toEqual(['unit']);
    expect(pathsOf(await create({ unit: 'litres', amount: 1, per: 'day' }))).toEqual(['unit']);
  });

  it('shows what is used in its unit, and no cents where there are none', async () => {
    const tokens = await stored({ unit: 'tokens', amount: 1_000_000 });
    await charge(app, tokens, { used: 250_000, held: 10 });
    expect(await get(tokens)).toMatchObject({
      unit: 'tokens',
      amount: 1_000_000,
      amountCents: null,
      fullest: {
        ...{ state: 'ok', amount: 1_000_000, used: 250_000, held: 10, remaining: 749_990, usedPercent: 25 },
        ...{ amountCents: null, spentCents: null, heldCents: null, remainingCents: null },
      },
    });
    const requests = await stored({ unit: 'requests', amount: 3, per: 'day' });
    await charge(app, requests, { used: 3 });
    expect((await get(requests)).fullest).toMatchObject({
      state: 'exhausted',
      used: 3,
      remaining: 0,
      usedPercent: 100,
    });
  });

  it('of requests shows what replicas took for their next calls as used, wherever it is told', async () => {
    const projectId = await project();
    const key = await makeKey(app, admin, { projectId });
    const id = await storeLimit(app, { projectId, unit: 'requests', amount: 3, per: 'day' });
    await charge(app, id, { used: 1, held: 2 });
    const all = { state: 'exhausted', used: 3, held: 0, remaining: 0, usedPercent: 100 };
    expect((await get(id)).fullest).toMatchObject(all);
    expect(
      (await app.get(`/limits?usedAbove=99&target=project:${projectId}`, { token: admin })).body.data,
    ).toHaveLength(1);
    const [bound] = await app.app.get(LimitAccounts, { strict: false }).bindingKey(key.id);
    expect(bound!.account).toMatchObject({ spent: 3n, held: 0n, remaining: 0n });
    expect((await patch(id, { name: 'Other' }, '?dryRun=true')).body.exhaustedCount).toBe(1);
    expect(await app.app.get(LimitAccountsRepository, { strict: false }).spentOf(id)).toBe(3n);
  });

  it('of slots shows calls in flight as what is used, has no period, and is exhausted while all are taken', async () => {
    const slots = await stored({ unit: 'slots', amount: 4, each: 'owner' });
    const [busy, full] = [(await app.addUser()).id, (await app.addUser()).id];
    await charge(app, slots, { held: 1, memberId: busy });
    await charge(app, slots, { held: 4, memberId: full });
    const { fullest, per } = await get(slots);
    expect(per).toBeNull();
    expect(fullest).toMatchObject({
      ...{ member: { id: full }, state: 'exhausted', used: 4, held: 0, remaining: 0, usedPercent: 100 },
      ...{ startsAt: null, resetsAt: null },
    });
    const above = (await app.get(`/limits/${slots}/accounts?usedAbove=20`, { token: admin })).body.data;
    expect(above.map(({ member }: { member: { id: string } }) => member.id)).toEqual([full, busy]);
  });

  it('takes an amount in its unit alone, for a change and for a member', async () => {
    const id = await stored({ unit: 'tokens', amount: 1000, each: 'owner' });
    const [changed, wrong] = [await patch(id, { amount: 2000 }), await patch(id, { amountCents: 5 })];
    expect(changed.body).toMatchObject({ amount: 2000, amountCents: null });
    expect(pathsOf(wrong)).toEqual(['amountCents']);
    expect((await trailOf(app, id)).at(-1)!.changes).toContainEqual({ field: 'amount', before: 1000, after: 2000 });

    const { view } = await makeKey(app, admin, { projectId: changed.body.target.id });
    const account = `/limits/${id}/accounts/${view.ownerId as string}`;
    const put = (body: object) => app.put(account, { token: admin, body });
    expect(pathsOf(await put({ amountCents: 5 }))).toEqual(['amountCents']);
    expect(pathsOf(await put({}))).toEqual(['amount']);
    expect((await put({ amount: 50 })).body).toMatchObject({
      ...{ amount: 50, amountCents: null, override: { amount: 50, amountCents: null } },
    });
    expect((await trailOf(app, id)).at(-1)!.changes).toContainEqual({
      field: 'overrideAmount',
      before: null,
      after: 50,
    });
    const slots = await stored({ unit: 'slots', amount: 4 });
    expect(pathsOf(await patch(slots, { amount: 0 }))).toEqual(['amount']);
    expect((await patch(slots, { amount: 2, per: null })).body).toMatchObject({ amount: 2, per: null });
  });

  it('keeps its unit', async () => {
    const id = await stored({ unit: 'slots', amount: 4 });
    expect((await patch(id, { unit: 'cents', per: 'day' })).body).toMatchObject({
      ...{ status: 409, code: 'LIMIT_FIELD_FIXED', fields: ['unit', 'per'] },
    });
  });

  it('is one of four of its target, of which three are held by calls', async () => {
    const projectId = await project();
    const cents = { ...RIGHT.cents, target: { kind: 'project', id: projectId } };
    const holding = await Promise.all([
      storeLimit(app, { projectId, unit: 'slots', amount: 1 }),
      storeLimit(app, { projectId, unit: 'tokens', amount: 1 }),
      storeLimit(app, { projectId, unit: 'tokens', amount: 1, per: 'day' }),
    ]);
    const fourth = await create(cents);
    expect(fourth.body).toMatchObject({ status: 409, code: 'TOO_MANY_LIMITS', most: 3 });
    expect([...fourth.body.limits].sort()).toEqual([...holding].sort());
    await app.delete(`/limits/${holding[2]}`, { token: admin });
    for (const per of ['day', 'week']) await storeLimit(app, { projectId, unit: 'requests', amount: 1, per });
    expect((await create(cents)).body).toMatchObject({ status: 409, code: 'TOO_MANY_LIMITS', most: 4 });
  });

  it('tells a dry run what the keys have used of it, or the reason for which that is not told', async () => {
    const projectId = await project();
    const key = await makeKey(app, admin, { projectId });
    const event = { id: 'units-1', apiKeyId: key.id, requests: 1, inputTokens: 700, outputTokens: 50, costCents: 3 };
    expect((await app.post('/usage', { token: admin, body: { events: [event] } })).status).toBe(200);
    const dry = async (unit: LimitUnit, change: object) => {
      const id = await storeLimit(app, { projectId, unit, amount: 1000 });
      if (unit !== 'slots') await charge(app, id, { used: 600 });
      return (await patch(id, change, '?dryRun=true')).body;
    };
    expect(await dry('tokens', { amount: 600 })).toMatchObject({
      ...{ keyCount: 1, accountCount: 1, exhaustedCount: 1 },
      ...{ usedSoFar: 750, costSoFarCents: null, costUnknown: null },
    });
    expect(await dry('requests', { amount: 601 })).toMatchObject({
      ...{ exhaustedCount: 0, usedSoFar: null, costUnknown: 'not-reported' },
    });
    expect(await dry('slots', { amount: 1 })).toMatchObject({ exhaustedCount: 0, costUnknown: 'not-reported' });
    expect(
      (await create({ ...RIGHT.cents, target: { kind: 'project', id: projectId } }, '?dryRun=true')).body,
    ).toMatchObject({
      ...{ usedSoFar: 3, costSoFarCents: 3 },
    });
  });

  it('is among those that bind a key, an owner and a project', async () => {
    const projectId = await project();
    const key = await makeKey(app, admin, { projectId });
    const slots = await storeLimit(app, { projectId, unit: 'slots', amount: 2, each: 'owner' });
    for (const path of [`/api-keys/${key.id}`, `/users/${key.view.ownerId as string}`, `/projects/${projectId}`]) {
      const { data } = (await app.get(`${path}/limits`, { token: admin })).body;
      const [found] = data.filter(({ id }: { id: string }) => id === slots);
      expect(found).toMatchObject({ unit: 'slots', per: null, state: 'ok', resetsAt: null });
      expect(found.details.account).toMatchObject({ amount: 2, used: 0, amountCents: null });
    }
  });
});
