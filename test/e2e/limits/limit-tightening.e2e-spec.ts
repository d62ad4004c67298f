import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { pathsOf } from '../../support/made-keys.js';
import { makeLimit } from '../../support/made-limits.js';

describe('An admin of a project', () => {
  let app: TestApp;
  let admin: string;
  let projectId: string;
  let lead: TestUser;
  let names = 0;

  const patch = (id: string, body: object, token: string, query = '') =>
    app.patch(`/limits/${id}${query}`, { token, body });
  const make = (more: object = {}) =>
    makeLimit(app, admin, {
      name: `Team ${++names}`,
      models: [`model-${names}`],
      target: { kind: 'project', id: projectId },
      ...more,
    });
  const remove = (id: string) => app.delete(`/limits/${id}`, { token: admin });

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    projectId = (await app.post('/projects', { token: admin, body: { name: 'Search' } })).body.id;
    lead = await app.addUser(['user']);
    await app.put(`/projects/${projectId}/members/${lead.id}`, { token: admin, body: { role: 'admin' } });
  });
  afterAll(() => app.stop());

  it('lowers the amount of its limit and enforces it, and tries that out first', async () => {
    const limit = await make({ mode: 'observe' });
    const dry = await patch(limit.id, { amountCents: 400 }, lead.token, '?dryRun=true');
    expect([dry.status, dry.body.keyCount]).toEqual([200, 0]);
    const { status, body } = await patch(limit.id, { amountCents: 400, mode: 'enforce' }, lead.token);
    expect(status).toBe(200);
    expect(body).toMatchObject({ amountCents: 400, mode: 'enforce' });
    // What is sent as it is changes nothing.
    expect((await patch(limit.id, { amountCents: 400, name: limit.name }, lead.token)).status).toBe(200);
    await remove(limit.id);
  });

  it('is told that it may, with the version to change, where others are not', async () => {
    const limit = await make({ mode: 'observe', each: 'owner' });
    const member = await app.addUser(['user']);
    await app.put(`/projects/${projectId}/members/${member.id}`, { token: admin, body: { role: 'member' } });
    const told = async (token: string) =>
      (await app.get(`/projects/${projectId}/limits`, { token })).body.data.find(
        ({ id }: { id: string }) => id === limit.id,
      );
    expect((await told(member.token)).allowedActs).toEqual([]);
    expect((await told(admin)).allowedActs).toEqual(['update', 'tighten']);
    const { allowedActs, details } = await told(lead.token);
    expect(allowedActs).toEqual(['tighten']);
    expect(details).toMatchObject({ version: limit.version, amount: limit.amount });
    const ifMatch = { token: lead.token, headers: { 'if-match': `"${details.version}"` } };
    const lowered = await app.patch(`/limits/${limit.id}`, { ...ifMatch, body: { amountCents: 300, mode: 'enforce' } });
    expect(lowered.status).toBe(200);
    expect((await app.patch(`/limits/${limit.id}`, { ...ifMatch, body: { amountCents: 200 } })).status).toBe(412);
    await remove(limit.id);
  });

  it('403: does nothing else, and is told which fields that are', async () => {
    const limit = await make();
    const loosening = {
      amountCents: 1001,
      mode: 'observe',
      models: [],
      name: 'Mine',
      alias: 'mine',
      description: 'Mine',
    };
    const answer = await patch(limit.id, loosening, lead.token);
    expect(answer.body).toMatchObject({
      ...{ status: 403, code: 'ADMIN_MAY_ONLY_TIGHTEN', permission: 'platform:limits:update' },
    });
    expect(pathsOf(answer)).toEqual(['alias', 'amountCents', 'description', 'mode', 'models', 'name']);
    for (const [field, value] of Object.entries(loosening)) {
      expect(pathsOf(await patch(limit.id, { [field]: value }, lead.token))).toEqual([field]);
      expect((await patch(limit.id, { [field]: value }, lead.token, '?dryRun=true')).status).toBe(403);
    }
    expect((await app.get(`/limits/${limit.id}`, { token: admin })).body).toEqual(limit);
    const gone = await app.delete(`/limits/${limit.id}`, { token: lead.token });
    expect(gone.body).toMatchObject({ status: 403, permission: 'platform:limits:delete' });
    await remove(limit.id);
  });

  it('403 for a member, 404 for any other caller and for limits on anything else', async () => {
    const limit = await make();
    const member = await app.addUser(['user']);
    await app.put(`/projects/${projectId}/members/${member.id}`, { token: admin, body: { role: 'member' } });
    const other = await app.addUser(['user']);
    const lower = { amountCents: 1 };
    expect((await patch(limit.id, lower, member.token)).body).toMatchObject({
      ...{ status: 403, code: 'PERMISSION_DENIED', permission: 'platform:limits:update' },
    });
    expect((await patch(limit.id, lower, other.token)).body.code).toBe('LIMIT_NOT_FOUND');
    const auditor = await app.addUser(['auditor']);
    expect((await patch(limit.id, lower, auditor.token)).body.code).toBe('PERMISSION_DENIED');
    const onAll = await makeLimit(app, admin, { per: 'week' });
    expect((await patch(onAll.id, lower, lead.token)).body.code).toBe('LIMIT_NOT_FOUND');
    await Promise.all([remove(limit.id), remove(onAll.id)]);
  });

  it('404 for one who is an admin no more', async () => {
    const limit = await make();
    const former = await app.addUser(['user']);
    const membership = `/projects/${projectId}/members/${former.id}`;
    await app.put(membership, { token: admin, body: { role: 'admin' } });
    expect((await patch(limit.id, { amountCents: 900 }, former.token)).status).toBe(200);
    await app.delete(membership, { token: admin });
    expect((await patch(limit.id, { amountCents: 800 }, former.token)).body.code).toBe('LIMIT_NOT_FOUND');
    await remove(limit.id);
  });
});
