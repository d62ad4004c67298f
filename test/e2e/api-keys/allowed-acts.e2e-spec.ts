import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { KEY_ACTS, type KeyAct } from '../../../src/api-keys/allowed-acts.js';
import { type Answer, TestApp } from '../../support/app.js';
import { expire, inDays, makeKey } from '../../support/made-keys.js';

/** What a key is, as far as acts change it; who deactivated it may change with a deactivation that is repeated. */
const ofKey = ({ status, ownerId, projectId, isActive, budgetRaise, handOver, secrets }: Answer['body']) =>
  JSON.stringify([
    status,
    ownerId,
    projectId,
    isActive,
    budgetRaise,
    handOver !== null,
    secrets.map(({ kid }: { kid: string }) => kid),
  ]);

const PERMISSIONS = {
  reader: ['read'],
  updater: ['read', 'update'],
  remover: ['read', 'delete'],
  assigner: ['read', 'assign'],
  mover: ['read', 'assign', 'update'],
} as const;
/** An administrator may what a mover and a remover may, a manager what a managing reader may. */
const CALLERS = ['owner', 'managing reader', 'project admin', 'updater', 'remover', 'assigner', 'mover'];
/** Their keys are a service account's. */
const MANAGERS = ['manager', 'managing reader'];

describe('The acts that a key names as allowed', () => {
  let app: TestApp;
  const tokens = new Map<string, string>();
  const ids = new Map<string, string>();
  const admin = () => tokens.get('admin')!;

  beforeAll(async () => {
    app = await TestApp.start();
    tokens.set('admin', await app.adminToken());
    for (const [role, verbs] of Object.entries(PERMISSIONS))
      await app.addRole(
        role,
        verbs.map((verb) => `platform:api-keys:${verb}`),
      );
    const add = async (name: string, roles: string[]) => {
      const user = await app.addUser(roles, { maxActiveKeys: 10_000 });
      tokens.set(name, user.token);
      ids.set(name, user.id);
    };
    for (const name of Object.keys(PERMISSIONS)) await add(name, [name]);
    for (const name of ['owner', 'manager', 'heir']) await add(name, ['user']);
    await add('managing reader', ['reader']);
    await add('project admin', ['user']);
    const managerIds = MANAGERS.map((name) => ids.get(name)!);
    const service = (managers: string[]) =>
      app.addUser([], { kind: 'service', managerIds: managers, maxActiveKeys: 10_000 });
    ids.set('service', (await service(managerIds)).id);
    ids.set('unmanaged', (await service([])).id);
    for (const name of ['from', 'to']) {
      const { body } = await app.post('/projects', { token: admin(), body: { name } });
      ids.set(name, body.id);
      for (const member of ['owner', 'manager', 'managing reader', 'project admin'].slice(name === 'to' ? 0 : 3))
        await app.request('PUT', `/projects/${body.id}/members/${ids.get(member)}`, {
          token: admin(),
          body: { role: 'admin' },
        });
    }
  });
  afterAll(() => app.stop());

  const ownerOf = (caller: string) => (MANAGERS.includes(caller) ? ids.get('service')! : ids.get('owner')!);
  const read = async (id: string, token = admin()) => (await app.get(`/api-keys/${id}`, { token })).body;
  /** Where the keys of a test are made. */
  let project: { projectId?: string | undefined } = {};
  const make = async (ownerId: string, body: object = {}) =>
    (await makeKey(app, admin(), { ownerId, ...project, ...body })).id;
  const pending = async (ownerId: string) => {
    const { body } = await app.post('/api-keys', { token: admin(), body: { ownerId, handOver: true, ...project } });
    return body.apiKey.id as string;
  };
  const post = (path: string, token: string, body: object = {}) => app.post(`/api-keys/${path}`, { token, body });

  /** Keys of every state that an act depends on. */
  const STATES: Record<string, (ownerId: string, caller: string) => Promise<string>> = {
    plain: (ownerId) => make(ownerId),
    'raised, with two secrets': async (ownerId) => {
      const id = await make(ownerId, { budgetLimitCents: 1_000 });
      await post(`${id}/regenerate`, admin(), { overlapSeconds: 3600 });
      const budgetRaise = { cents: 10, until: inDays(1), reason: 'a state of a test' };
      await app.patch(`/api-keys/${id}`, { token: admin(), body: { budgetRaise } });
      return id;
    },
    'deactivated by the caller': async (ownerId, caller) => {
      const id = await make(ownerId);
      await post(`${id}/deactivate`, tokens.get(caller)!);
      return id;
    },
    'deactivated by an administrator': async (ownerId) => {
      const id = await make(ownerId);
      await post(`${id}/deactivate`, admin());
      return id;
    },
    expired: async (ownerId) => {
      const id = await make(ownerId);
      await expire(app, id);
      return id;
    },
    revoked: async (ownerId) => {
      const id = await make(ownerId);
      await post(`${id}/revoke`, admin());
      return id;
    },
    'pending, offered': pending,
    'pending, not offered': async (ownerId) => {
      const id = await pending(ownerId);
      await app.delete(`/api-keys/${id}/hand-over`, { token: admin() });
      return id;
    },
  };

  /** The request of each act. */
  const attempt = async (act: KeyAct, id: string, token: string): Promise<Answer> => {
    const patch = (body: object) => app.patch(`/api-keys/${id}`, { token, body });
    const remove = (path: string) => app.delete(`/api-keys/${id}/${path}`, { token });
    switch (act) {
      case 'update':
        return patch({ description: 'changed' });
      case 'raise-budget':
        return patch({ budgetRaise: { cents: 5_000, until: inDays(2), reason: 'an attempt of a test' } });
      case 'end-budget-raise':
        return patch({ budgetRaise: null });
      case 'end-secret': {
        const { secrets } = await read(id);
        return remove(`secrets/${secrets.at(-1)?.kid ?? '0'.repeat(14)}`);
      }
      case 'offer-secret':
        return post(`${id}/hand-over`, token);
      case 'end-offer':
        return remove('hand-over');
      case 'draw-secret':
        return app.post(`/api-keys/${id}/draw`, { token });
      case 'transfer':
        return post(`${id}/transfer`, token, { ownerId: ids.get('heir') });
      case 'move':
        return post(`${id}/transfer`, token, { projectId: ids.get('to') });
      case 'delete':
        return remove('permanent');
      default:
        return post(`${id}/${act}`, token);
    }
  };

  describe.each(CALLERS)('to the %s', (caller) => {
    it.each(Object.keys(STATES))('are those that the server does: %s', async (state) => {
      const token = tokens.get(caller)!;
      project = caller === 'project admin' ? { projectId: ids.get('from') } : {};
      const make = () => STATES[state]!(ownerOf(caller), caller);
      const id = await make();
      const before = await read(id, token);
      const allowed = before.allowedActs as KeyAct[];
      const [listed] = (await app.get(`/api-keys?id=${id}`, { token })).body.data;
      expect(listed.allowedActs).toEqual(allowed);
      for (const act of KEY_ACTS.filter((act) => !allowed.includes(act))) {
        const { status } = await attempt(act, id, token);
        // What is so already may be asked for again.
        const isSame = status < 300 && ofKey(await read(id)) === ofKey(before);
        expect([act, status >= 400 || isSame]).toEqual([act, true]);
      }
      for (const act of allowed) {
        const { status } = await attempt(act, await make(), token);
        expect([act, status < 300]).toEqual([act, true]);
      }
    });
  });

  it('are none to a reader, and to a managing reader what they are to a manager', async () => {
    const id = await make(ids.get('service')!);
    const to = async (caller: string) => (await read(id, tokens.get(caller))).allowedActs as KeyAct[];
    expect(await to('reader')).toEqual([]);
    expect(await to('managing reader')).toEqual(await to('manager'));
    expect(await to('manager')).toEqual(['update', 'renew', 'deactivate', 'regenerate', 'move', 'revoke']);
  });

  it('are its own revocation to a key', async () => {
    const { id, secret } = await makeKey(app, admin(), { ownerId: ids.get('owner') });
    const { body } = await app.get(`/api-keys/${id}`, { apiKey: secret });
    expect(body.allowedActs).toEqual(['revoke']);
  });

  it('have no offer where nobody could draw the secret', async () => {
    const id = await make(ids.get('unmanaged')!);
    expect((await read(id)).allowedActs).not.toContain('offer-secret');
    expect(await attempt('offer-secret', id, admin())).toMatchObject({ status: 409, body: { code: 'NOBODY_TO_DRAW' } });
  });
});
