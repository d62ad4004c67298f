import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { TestProvider } from '../../support/key-set.js';
import { trailOf } from '../../support/trail.js';

const now = () => Math.floor(Date.now() / 1000);

describe('tokens of an identity provider', () => {
  let provider: TestProvider;
  let app: TestApp;
  let admin: string;
  let count = 0;
  const subject = () => `subject-${(count += 1)}`;
  const me = (token: string) => app.get('/auth/me', { token });

  beforeAll(async () => {
    provider = await TestProvider.start();
    app = await TestApp.start(provider.variables);
    admin = await app.adminToken();
  });
  afterAll(async () => {
    await app.stop();
    await provider.stop();
  });

  it.each(['rsa-1', 'ec-1'])('are accepted by a key of the set (%s)', async (kid) => {
    expect((await me(provider.token({ sub: subject() }, {}, kid))).status).toBe(200);
  });

  it('make a user on first sight, with the roles that are mapped and exist', async () => {
    const sub = subject();
    const { body } = await me(
      provider.token({ sub, email: ' Grace@Example.com ', name: 'Grace', roles: ['staff', 'unknown', 'ghosts', 7] }),
    );
    expect(body).toMatchObject({
      kind: 'user',
      roles: ['creator'],
      user: {
        email: 'Grace@Example.com',
        name: 'Grace',
        kind: 'person',
        roles: ['creator'],
        signsInWith: 'identity-provider',
        lastSignInAt: expect.any(String),
      },
    });
    expect(await trailOf(app, body.user.id)).toMatchObject([
      {
        action: 'users:create',
        actor_kind: 'user',
        actor_id: body.user.id,
        // Who it is, is a personal value: the trail commits to it.
        details: { issuer: provider.issuer, subject: { commitment: expect.stringMatching(/^[0-9a-f]{64}$/) } },
      },
    ]);
    expect((await me(provider.token({ sub }))).body.user.id).toBe(body.user.id);
  });

  it('make one user when twenty first requests come at once', async () => {
    const token = provider.token({ sub: subject(), roles: ['staff'] });
    const answers = await Promise.all(Array.from({ length: 20 }, () => me(token)));
    expect(new Set(answers.map(({ status, body }) => `${status} ${body.user?.id}`)).size).toBe(1);
    expect(await trailOf(app, answers[0]?.body.user.id)).toHaveLength(1);
  });

  it('are never linked by e-mail', async () => {
    const { body } = await me(provider.token({ sub: subject(), email: 'admin@latchkey.test' }));
    expect(body).toMatchObject({ permissions: [], user: { email: 'admin@latchkey.test' } });
    expect((await app.get('/auth/me', { token: admin })).body.user.id).not.toBe(body.user.id);
    expect(await app.adminToken()).toEqual(expect.any(String));
  });

  it('use a name that fits, whatever the claim holds', async () => {
    for (const [name, expected] of [
      ['x'.repeat(300), 'x'.repeat(100)],
      ['a\0b', 'fits'],
      ['\ud800', 'fits'],
      [{}, 'fits'],
      ['', 'fits'],
    ] as const) {
      expect((await me(provider.token({ sub: subject(), name, preferred_username: 'fits' }))).body.user.name).toBe(
        expected,
      );
    }
  });

  it('change roles when a newer token’s claim does, leave those given by hand, and never go back', async () => {
    const sub = subject();
    const old = provider.token({ sub, roles: ['staff'], iat: now() - 60 });
    const { body } = await me(old);
    await app.put(`/users/${body.user.id}/roles`, { token: admin, body: { roles: ['creator', 'auditor'] } });
    const newer = provider.token({ sub, roles: ['bosses'], iat: now() - 30 });
    expect((await me(newer)).body.roles).toEqual(['admin', 'auditor']);
    expect((await me(old)).body.roles).toEqual(['admin', 'auditor']);
    expect((await me(provider.token({ sub, roles: [], iat: now() - 20 }))).body.roles).toEqual(['auditor']);
    const entries = (await trailOf(app, body.user.id)).filter((row) => row.details['by'] === 'identity-provider');
    expect(entries.map((row) => row.changes)).toEqual([
      [{ field: 'roles', before: ['auditor', 'creator'], after: ['admin', 'auditor'] }],
      [{ field: 'roles', before: ['admin', 'auditor'], after: ['auditor'] }],
    ]);
  });

  it('leave no trace when nothing but their time changes', async () => {
    const sub = subject();
    const { body } = await me(provider.token({ sub, roles: ['staff'], iat: now() - 60 }));
    await me(provider.token({ sub, roles: ['staff'], iat: now() }));
    expect(await trailOf(app, body.user.id)).toHaveLength(1);
  });

  it('let a role that was taken by hand stay taken until the claim changes', async () => {
    const sub = subject();
    const { body } = await me(provider.token({ sub, roles: ['staff'], iat: now() - 60 }));
    await app.put(`/users/${body.user.id}/roles`, { token: admin, body: { roles: [] } });
    expect((await me(provider.token({ sub, roles: ['staff'], iat: now() - 30 }))).body.roles).toEqual([]);
  });

  it('do not take the role from the last admin until there is another', async () => {
    const sub = subject();
    const { body } = await me(provider.token({ sub, roles: ['bosses'], iat: now() - 60 }));
    await app.dataSource.query(`UPDATE users SET is_active = false WHERE oidc_subject IS DISTINCT FROM $1`, [sub]);
    expect((await me(provider.token({ sub, roles: [], iat: now() - 50 }))).body.roles).toEqual(['admin']);
    await app.dataSource.query(`UPDATE users SET is_active = true`);
    expect((await me(provider.token({ sub, roles: [], iat: now() - 40 }))).body.roles).toEqual([]);
    expect(body.user.id).toEqual(expect.any(String));
    admin = await app.adminToken();
  });

  it('are refused for disabled users, and for deleted ones for good', async () => {
    const token = provider.token({ sub: subject() });
    const { id } = (await me(token)).body.user;
    await app.patch(`/users/${id}`, { token: admin, body: { isActive: false } });
    expect((await me(token)).status).toBe(401);
    await app.patch(`/users/${id}`, { token: admin, body: { isActive: true } });
    expect((await me(token)).status).toBe(200);
    await app.delete(`/users/${id}`, { token: admin });
    expect((await me(token)).status).toBe(401);
    const [row] = await app.dataSource.query<{ count: number }[]>(
      'SELECT count(*)::int AS count FROM users WHERE id = $1',
      [id],
    );
    expect(row?.count).toBe(1);
  });

  it('cannot be given a password here', async () => {
    const { id } = (await me(provider.token({ sub: subject() }))).body.user;
    expect(
      (await app.put(`/users/${id}/password`, { token: admin, body: { password: 'a password for nobody' } })).body.code,
    ).toBe('HAS_NO_PASSWORD');
  });

  it('do not make the provider answer for every made-up key id', async () => {
    const before = provider.asked;
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) => me(provider.token({}, { kid: `made-up-${index}` }))),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(30).fill(401));
    expect(provider.asked - before).toBeLessThanOrEqual(1);
  });

  it('are 503 while the key set is away and the key unknown; known keys go on', async () => {
    const away = await TestProvider.start();
    const second = await TestApp.start(away.variables, app.database);
    try {
      const good = away.token({ sub: subject() });
      expect((await second.get('/auth/me', { token: good })).status).toBe(200);
      await away.stop();
      expect((await second.get('/auth/me', { token: good })).status).toBe(200);
    } finally {
      await second.stop();
    }
    const third = await TestApp.start(away.variables, app.database);
    try {
      const answer = await third.get('/auth/me', { token: away.token({ sub: subject() }) });
      expect(answer).toMatchObject({ status: 503, body: { code: 'UNAVAILABLE' } });
      expect(answer.headers.get('retry-after')).toBe('1');
      expect((await third.get('/auth/me', { token: 'a.b.c' })).status).toBe(401);
      expect((await third.get('/auth/me', { token: await third.adminToken() })).status).toBe(200);
    } finally {
      await third.stop();
    }
  });
});
