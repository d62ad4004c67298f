import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Answer, type RequestOptions, TestApp } from '../../support/app.js';
import { issueKey, issueServiceKey } from '../../support/management.js';

/** Writers of the race, each of which adds one entry of its own to one list. */
const WRITERS = 8;

describe('the version of settings', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  const matching = (tag: string, options: RequestOptions = {}): RequestOptions => ({
    token: admin,
    ...options,
    headers: { 'if-match': tag },
  });
  const quoted = (version: string) => `"${version}"`;

  function expectMismatch(answer: Answer, version: string | null): void {
    expect([answer.status, answer.body.code, answer.body.version]).toEqual([412, 'VERSION_MISMATCH', version]);
  }

  interface Thing {
    readonly path: string;
    /** A change of a setting, and another. */
    readonly change: Record<string, unknown>;
    readonly other: Record<string, unknown>;
  }

  const things: Record<string, () => Promise<Thing>> = {
    key: async () => ({
      path: `/api-keys/${(await issueKey(app, admin, { name: 'Versioned' })).id}`,
      change: { description: 'first' },
      other: { description: 'second' },
    }),
    role: async () => {
      const name = `versioned-${Math.random().toString(36).slice(2)}`;
      await app.post('/roles', { token: admin, body: { name } });
      return { path: `/roles/${name}`, change: { description: 'first' }, other: { description: 'second' } };
    },
    user: async () => ({
      path: `/users/${(await app.addUser()).id}`,
      change: { name: 'Ada' },
      other: { name: 'Grace' },
    }),
  };

  describe.each(Object.keys(things))('of a %s', (kind) => {
    it('is in the body and the ETag of every answer that shows it, and follows its settings', async () => {
      const { path, change } = await things[kind]!();
      const read = await app.get(path, { token: admin });
      expect(read.body.version).toMatch(/^[\w-]{16}$/);
      expect(read.headers.get('etag')).toBe(quoted(read.body.version));
      const changed = await app.patch(path, { token: admin, body: change });
      expect(changed.body.version).not.toBe(read.body.version);
      expect(changed.headers.get('etag')).toBe(quoted(changed.body.version));
      expect((await app.get(path, { token: admin })).body.version).toBe(changed.body.version);
      const list = await app.get(`${path.slice(0, path.lastIndexOf('/'))}?size=100`, { token: admin });
      expect(list.body.data.map((each: { version: string }) => each.version)).toContain(changed.body.version);
    });

    it('lets a change through that names it, among others or as *, and refuses one that names another', async () => {
      const { path, change, other } = await things[kind]!();
      const first = (await app.get(path, { token: admin })).body.version as string;
      const second = (await app.patch(path, matching(quoted(first), { body: change }))).body.version as string;
      const refused = await app.patch(path, matching(quoted(first), { body: other }));
      expectMismatch(refused, second);
      expect(refused.body.detail).toMatch(/^This was changed meanwhile by .+ at \d{4}-.+Nothing was done/);
      expect(Date.parse(refused.body.changedAt)).toBeGreaterThan(0);
      expect((await app.get(path, { token: admin })).body.version).toBe(second);
      expect((await app.patch(path, matching(`"other", , ${quoted(second)}`, { body: other }))).status).toBe(200);
      expect((await app.patch(path, matching('*', { body: change }))).status).toBe(200);
    });

    it('is compared strongly: a weak tag matches nothing', async () => {
      const { path, change } = await things[kind]!();
      const { version } = (await app.get(path, { token: admin })).body;
      expectMismatch(await app.patch(path, matching(`W/${quoted(version)}`, { body: change })), version);
    });

    it.each(['nonsense', '', '"open', '*, "a"', '"a" "b"', 'w/"a"', '"a";q=1', Array(33).fill('"a"').join(',')])(
      '400: If-Match %j',
      async (tag) => {
        const { path, change } = await things[kind]!();
        const answer = await app.patch(path, matching(tag, { body: change }));
        expect([answer.status, answer.body.errors[0].path]).toEqual([400, 'If-Match']);
      },
    );

    it('of eight edits of one version, each adding to a list, lets one through and tells the others who came first', async () => {
      const { path } = await things[kind]!();
      const list = { key: 'tags', role: 'permissions', user: 'roles' }[kind]!;
      const entries = {
        key: Array.from({ length: WRITERS }, (_, index) => `writer:${index}`),
        role: [
          'api-keys:read',
          'api-keys:update',
          'api-keys:create',
          'api-keys:delete',
          'users:read',
          'users:create',
          'roles:read',
          'audit:read',
        ].map((name) => `platform:${name}`),
        user: ['admin', 'creator', 'gateway', 'readonly', 'one', 'two', 'three', 'four'],
      }[kind]!;
      if (kind === 'user') for (const name of entries.slice(3)) await app.addRole(name, []);
      const write = (version: string, values: string[]) =>
        kind === 'user'
          ? app.put(`${path}/roles`, matching(quoted(version), { body: { roles: values } }))
          : app.patch(path, matching(quoted(version), { body: { [list]: values } }));
      // What every client has to do: read, add, write, and begin again where another was faster.
      const add = async (entry: string): Promise<number> => {
        for (let refusals = 0; ; refusals += 1) {
          const { body } = await app.get(path, { token: admin });
          const answer = await write(body.version, [...body[list], entry]);
          if (answer.status === 200) return refusals;
          expect([answer.status, answer.body.code]).toEqual([412, 'VERSION_MISMATCH']);
        }
      };
      const before = (await app.get(path, { token: admin })).body;
      const wanted = entries.filter((entry) => !before[list].includes(entry));
      const [first] = await Promise.all([
        Promise.all(wanted.map((entry) => write(before.version, [...before[list], entry]))),
      ]);
      expect(first.map(({ status }) => status).sort()).toEqual([200, ...Array(wanted.length - 1).fill(412)]);
      await Promise.all(wanted.filter((_, index) => first[index]!.status === 412).map(add));
      const after = (await app.get(path, { token: admin })).body;
      expect([...after[list]].sort()).toEqual([...before[list], ...wanted].sort());
    });
  });

  describe('of a key', () => {
    const changes: [string, string, (app: TestApp, id: string, options: RequestOptions) => Promise<Answer>][] = [
      ['PATCH', '', (it, id, options) => it.patch(`/api-keys/${id}`, { ...options, body: { name: 'x' } })],
      ['PUT', '', (it, id, options) => it.put(`/api-keys/${id}`, { ...options, body: { name: 'x' } })],
      ...['renew', 'activate', 'deactivate', 'regenerate', 'revoke'].map(
        (verb) =>
          [
            'POST',
            verb,
            (it: TestApp, id: string, options: RequestOptions) =>
              it.post(`/api-keys/${id}/${verb}`, { ...options, body: {} }),
          ] as [string, string, (app: TestApp, id: string, options: RequestOptions) => Promise<Answer>],
      ),
      ['DELETE', '', (it, id, options) => it.delete(`/api-keys/${id}`, options)],
      ['DELETE', 'permanent', (it, id, options) => it.delete(`/api-keys/${id}/permanent`, options)],
    ];

    it.each(changes)('is asked for by %s %s', async (_method, _verb, send) => {
      const { id } = await issueKey(app, admin, { name: 'Versioned' });
      const { version } = (await app.get(`/api-keys/${id}`, { token: admin })).body;
      expectMismatch(await send(app, id, matching('"other"')), version);
      expect((await app.get(`/api-keys/${id}`, { token: admin })).body).toMatchObject({ version, name: 'Versioned' });
      expect((await send(app, id, matching(quoted(version)))).status).toBeLessThan(300);
    });

    it('is asked for by transfer, and by the end of a secret', async () => {
      const { id } = await issueKey(app, admin);
      const { version } = (await app.get(`/api-keys/${id}`, { token: admin })).body;
      const { id: ownerId } = await app.addUser();
      expectMismatch(await app.post(`/api-keys/${id}/transfer`, matching('"x"', { body: { ownerId } })), version);
      await app.post(`/api-keys/${id}/regenerate`, { token: admin, body: { overlapSeconds: 60 } });
      const { body } = await app.get(`/api-keys/${id}`, { token: admin });
      // A secret is no setting.
      expect(body.version).toBe(version);
      const old = `/api-keys/${id}/secrets/${body.secrets[1].kid}`;
      expectMismatch(await app.delete(old, matching('"x"')), version);
      expect((await app.delete(old, matching(quoted(version)))).status).toBe(200);
    });

    it('stays while the key is used', async () => {
      const { id, secret } = await issueKey(app, admin, { budgetLimitCents: 100 });
      const service = await issueServiceKey(app, admin);
      const { version } = (await app.get(`/api-keys/${id}`, { token: admin })).body;
      const verdict = await app.post('/verify', { apiKey: service.secret, body: { key: secret, reserveCents: 1 } });
      expect(verdict.body.code).toBe('VALID');
      const event = { id: 'version-1', apiKeyId: id, costCents: 2 };
      expect((await app.post('/usage', { apiKey: service.secret, body: { events: [event] } })).status).toBe(200);
      const { body } = await app.get(`/api-keys/${id}`, { token: admin });
      expect(body.totalCostCents).toBe(2);
      expect(body.version).toBe(version);
    });

    it('makes by-alias a change of the key that was read, and never a creation', async () => {
      const url = '/api-keys/by-alias/versioned';
      expectMismatch(await app.put(url, matching('*', { body: { name: 'x' } })), null);
      const { body: created } = await app.put(url, { token: admin, body: { name: 'x' } });
      expectMismatch(await app.put(url, matching('"other"', { body: { name: 'y' } })), created.apiKey.version);
      const renewed = await app.put(url, matching(quoted(created.apiKey.version), { body: { name: 'y' } }));
      expect([renewed.status, renewed.headers.get('etag')]).toEqual([200, quoted(renewed.body.apiKey.version)]);
    });

    it('gives a repeated request its first answer, though that one has changed the version', async () => {
      const url = '/api-keys/by-alias/repeated';
      const { body: created } = await app.put(url, { token: admin, body: { name: 'x' } });
      const headers = { 'if-match': quoted(created.apiKey.version), 'idempotency-key': 'versions-repeated-1' };
      const first = await app.put(url, { token: admin, headers, body: { name: 'y' } });
      const second = await app.put(url, { token: admin, headers, body: { name: 'y' } });
      expect([first.status, second.status, second.body]).toEqual([200, 200, first.body]);
    });

    it('is not told to those who may not know the key', async () => {
      const { id } = await issueKey(app, admin);
      const stranger = await app.addUser();
      const answer = await app.patch(`/api-keys/${id}`, {
        token: stranger.token,
        headers: { 'if-match': '"x"' },
        body: { name: 'x' },
      });
      expect([answer.status, answer.body.code]).toEqual([404, 'API_KEY_NOT_FOUND']);
    });
  });

  it('of a user is asked for by DELETE, whatever becomes of the keys', async () => {
    const user = await app.addUser();
    await issueKey(app, user.token);
    const { version } = (await app.get(`/users/${user.id}`, { token: admin })).body;
    expectMismatch(await app.delete(`/users/${user.id}?keys=revoke`, matching('"other"')), version);
    expect((await app.delete(`/users/${user.id}?keys=revoke`, matching(quoted(version)))).status).toBe(204);
  });

  it('of a role is asked for by DELETE', async () => {
    const { path } = await things['role']!();
    const { version } = (await app.get(path, { token: admin })).body;
    expectMismatch(await app.delete(path, matching('"other"')), version);
    expect((await app.delete(path, matching(quoted(version)))).status).toBe(204);
  });

  it('of a user stays when the user signs in', async () => {
    const user = await app.addUser();
    const { version } = (await app.get(`/users/${user.id}`, { token: admin })).body;
    await app.tokenOf(user.email, user.password);
    expect((await app.get(`/users/${user.id}`, { token: admin })).body.version).toBe(version);
  });
});
