import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { Client } from 'pg';
import { compareTables } from '../../../src/integrity/table-comparison.js';
import type { AuditEventView } from '../../../src/audit/audit-event.view.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { makeKey, pathsOf } from '../../support/made-keys.js';

const PASSWORD = 'a password of the erased';

describe('POST /users/:id/erase', () => {
  let app: TestApp;
  let admin: string;
  let manager: TestUser;
  let database: Client;
  let number = 0;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    database = new Client({ connectionString: app.database.ownerUrl });
    await database.connect();
    admin = await app.adminToken();
    manager = await app.addUser(['creator']);
  });
  afterAll(async () => {
    await database.end();
    await app.stop();
  });

  /** A statement past Latchkey. */
  const asOwner = (text: string, values: unknown[]) => database.query(text, values);

  /** A person whom the API has made, with a name and an address that nothing else has. */
  const person = async (fields: object = {}) => {
    number += 1;
    const email = `erased-${number}@example.test`;
    const name = `Grace Unique${number}`;
    const body = { email, name, kind: 'person', password: PASSWORD, roles: ['creator'], ...fields };
    const { status, body: made } = await app.post('/users', { token: admin, body });
    expect([status, made.errors]).toEqual([201, undefined]);
    return { id: made.id as string, email, name };
  };
  const erase = (id: string, confirm: unknown, query = '', token = admin) =>
    app.post(`/users/${id}/erase${query}`, { token, body: { confirm } });
  const entriesOf = async (id: string): Promise<AuditEventView[]> =>
    (await app.get(`/audit-events?resourceType=user&resourceId=${id}&isRead=false`, { token: admin })).body.data;
  const differences = async (...ids: string[]) => {
    const found: string[] = [];
    for await (const step of compareTables(app.config, app.dataSource))
      found.push(...step.differences.map(({ id, problems, changes }) => JSON.stringify([id, problems, changes])));
    return found.filter((one) => ids.some((id) => one.includes(id)));
  };
  /** Where a text is in the database: tables whose rows have it. */
  const placesOf = async (text: string): Promise<string[]> => {
    const tables = await app.dataSource.query<{ name: string }[]>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1`,
    );
    const places: string[] = [];
    for (const { name } of tables) {
      const [row] = await app.dataSource.query<{ count: number }[]>(
        `SELECT count(*)::int AS count FROM "${name}" t WHERE strpos(lower(t::text), lower($1)) > 0`,
        [text],
      );
      if (row!.count > 0) places.push(name);
    }
    return places;
  };

  it('leaves nothing that says who the person was, in any table, and a trail that still verifies', async () => {
    const { id, email, name } = await person();
    await app.request('PATCH', `/users/${id}`, { token: admin, body: { name: `${name} renamed` } });
    await app.post('/auth/login', { body: { email, password: PASSWORD } });
    const key = await makeKey(app, admin, { ownerId: id });
    await app.post('/usage', { token: admin, body: { events: [{ id: 'used', apiKeyId: key.id, costCents: 5 }] } });
    expect(await placesOf(name)).toEqual(expect.arrayContaining(['personal_value', 'user_version', 'users']));
    expect(await placesOf(email)).not.toContain('audit_event');
    const spent = async () =>
      (await app.get('/usage/summary?groupBy=owner', { token: admin })).body.rows.find(
        ({ group }: { group: string }) => group === id,
      );
    const before = await spent();

    expect((await erase(id, email, '?keys=revoke')).status).toBe(204);

    expect([await placesOf(name), await placesOf(email)]).toEqual([[], []]);
    expect((await app.get(`/users/${id}`, { token: admin })).status).toBe(404);
    expect((await app.get(`/api-keys/${key.id}`, { token: admin })).body.ownerName).toBe('Erased person');
    // Names are as of the end of a report, sums are what they were.
    expect(await spent()).toEqual({ ...before, name: 'Erased person' });
    const verified = await app.post('/audit-events/verify', { token: admin });
    expect(verified.body).toMatchObject({ ok: true });
    expect(await differences(id)).toEqual([]);
    const erased = (await entriesOf(id)).find(({ action }) => action === 'users:erase');
    expect(erased).toMatchObject({
      action: 'users:erase',
      resourceId: id,
      outcome: 'success',
      changes: [],
      details: {},
    });
  });

  it('opens commitments for readers of the trail until then', async () => {
    const { id, email, name } = await person();
    const [made] = await entriesOf(id);
    const { after } = made!.changes.find(({ field }) => field === 'email')! as { after: { commitment: string } };
    const { salt, value } = made!.personal![after.commitment]!;
    expect(value).toBe(email);
    const digest = createHash('sha256').update(Buffer.from(salt, 'hex')).update(JSON.stringify(value)).digest('hex');
    expect(digest).toBe(after.commitment);
    const exported = await app.get(`/audit-events/export?resourceType=user&resourceId=${id}`, { token: admin });
    expect(JSON.stringify(exported.body)).toContain(name);
    expect((await erase(id, email)).status).toBe(204);
    const [, , afterwards] = await entriesOf(id);
    expect(afterwards!.action).toBe('users:create');
    expect(afterwards!.personal).toEqual({});
    const later = await app.get(`/audit-events/export?resourceType=user&resourceId=${id}`, { token: admin });
    expect(JSON.stringify(later.body)).not.toContain(name);
  });

  it('erases nobody whose settings were changed since the version in If-Match', async () => {
    const { id, email, name } = await person();
    const read = await app.get(`/users/${id}`, { token: admin });
    await app.request('PATCH', `/users/${id}`, { token: admin, body: { name: `${name} changed` } });
    const matching = (version: string) =>
      app.post(`/users/${id}/erase`, {
        token: admin,
        body: { confirm: email },
        headers: { 'if-match': `"${version}"` },
      });
    const refused = await matching(read.body.version);
    expect([refused.status, refused.body.code]).toEqual([412, 'VERSION_MISMATCH']);
    expect((await app.get(`/users/${id}`, { token: admin })).body.email).toBe(email);
    expect((await matching(refused.body.version)).status).toBe(204);
  });

  it('has no version to match once the person is deleted', async () => {
    const { id, email } = await person();
    const { version } = (await app.get(`/users/${id}`, { token: admin })).body;
    await app.request('DELETE', `/users/${id}`, { token: admin });
    const headers = { 'if-match': `"${version}"` };
    const refused = await app.post(`/users/${id}/erase`, { token: admin, body: { confirm: email }, headers });
    expect([refused.status, refused.body.version]).toEqual([412, null]);
    expect((await erase(id, email)).status).toBe(204);
  });

  it('tells no reader of a value that was put there after the erasure', async () => {
    const { id, email } = await person();
    const [made] = await entriesOf(id);
    const { after } = made!.changes.find(({ field }) => field === 'name')! as { after: { commitment: string } };
    expect(made!.personal).toHaveProperty(after.commitment);
    expect((await erase(id, email)).status).toBe(204);
    // As the application, which may add openings.
    await app.dataSource.query(
      `INSERT INTO personal_value (commitment, user_id, salt, value) VALUES (decode($1, 'hex'), $2, $3, '"Mallory"')`,
      [after.commitment, id, Buffer.alloc(32)],
    );
    expect((await entriesOf(id)).at(-1)).toMatchObject({ action: 'users:create', personal: {} });
    const exported = await app.get(`/audit-events/export?resourceType=user&resourceId=${id}`, { token: admin });
    expect(JSON.stringify(exported.body)).toContain(after.commitment);
    expect(JSON.stringify(exported.body)).not.toContain('Mallory');
  });

  it('ends sessions and the second factor, and frees the address', async () => {
    const { id, email } = await person();
    const { body } = await app.post('/auth/login', { body: { email, password: PASSWORD } });
    expect((await erase(id, email.toUpperCase())).status).toBe(204);
    expect((await app.get('/auth/me', { token: body.accessToken })).status).toBe(401);
    const again = await app.post('/users', {
      token: admin,
      body: { email, name: 'Another', kind: 'person', password: PASSWORD, roles: [] },
    });
    expect(again.status).toBe(201);
  });

  it('erases who was deleted before, and is told apart from a deletion by the trail', async () => {
    const { id, email, name } = await person();
    expect((await app.delete(`/users/${id}`, { token: admin })).status).toBe(204);
    expect(await placesOf(name)).not.toEqual([]);
    expect((await erase(id, email)).status).toBe(204);
    expect(await placesOf(name)).toEqual([]);
    expect((await erase(id, email)).status).toBe(404);
    expect(await differences(id)).toEqual([]);
  });

  it('finds who edits the row of an erased person, or marks one as erased', async () => {
    const { id, email } = await person();
    await erase(id, email);
    const other = await person();
    await app.delete(`/users/${other.id}`, { token: admin });
    await asOwner(`UPDATE users SET name = 'A Name' WHERE id = $1`, [id]);
    await asOwner(`UPDATE users SET erased_at = now() WHERE id = $1`, [other.id]);
    expect(await differences(id, other.id)).toHaveLength(2);
    await asOwner(`UPDATE users SET name = 'Erased person' WHERE id = $1`, [id]);
    await asOwner(`UPDATE users SET erased_at = NULL WHERE id = $1`, [other.id]);
    expect(await differences(id, other.id)).toEqual([]);
  });

  it('finds an edit of what opens a commitment', async () => {
    const { id, name } = await person();
    const set = (from: string, to: string) =>
      asOwner(
        `UPDATE personal_value SET value = to_jsonb($3::text) WHERE user_id = $1 AND value = to_jsonb($2::text)`,
        [id, from, to],
      );
    await set(name, 'Another Name');
    await asOwner(`UPDATE users SET name = 'Another Name' WHERE id = $1`, [id]);
    expect(await differences(id)).toHaveLength(1);
    await set('Another Name', name);
    await asOwner(`UPDATE users SET name = $2 WHERE id = $1`, [id, name]);
    expect(await differences(id)).toEqual([]);
  });

  it('finds no commitments while a replica of an earlier release is alive, which would take them for edits', async () => {
    const earlier = '00000000-0000-4000-8000-00000000e002';
    await asOwner(`INSERT INTO replica (id, applied_seq, build_level) VALUES ($1, 0, 2)`, [earlier]);
    const { id, email } = await person();
    const [plain] = await entriesOf(id);
    expect(plain!.changes).toContainEqual({ field: 'email', before: null, after: email });
    expect(plain).not.toHaveProperty('personal');
    const early = await erase(id, email);
    expect(early).toMatchObject({ status: 503, body: { code: 'UNAVAILABLE' } });
    expect(early.headers.get('retry-after')).toBe('60');
    await asOwner(`DELETE FROM replica WHERE id = $1`, [earlier]);
    await app.request('PATCH', `/users/${id}`, { token: admin, body: { name: 'Renamed' } });
    expect(await differences(id)).toEqual([]);
    expect((await erase(id, email)).status).toBe(204);
    // What was written plainly keeps its text; everything else is gone.
    expect(await placesOf(email)).toEqual(['audit_event']);
  });

  it('happens once, of several at the same time', async () => {
    const { id, email } = await person();
    const answers = await Promise.all([1, 2, 3, 4].map(() => erase(id, email)));
    expect(answers.map(({ status }) => status).sort()).toEqual([204, 404, 404, 404]);
    expect(
      (await entriesOf(id)).filter(({ action, outcome }) => action === 'users:erase' && outcome === 'success'),
    ).toHaveLength(1);
  });

  describe('400', () => {
    it.each([
      ['another address', 'other@example.test'],
      ['nothing', undefined],
      ['the name', 'Grace'],
    ])('refuses %s as the confirmation', async (_, confirm) => {
      const { id } = await person();
      const answer = await erase(id, confirm);
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual(['confirm']);
      expect((await app.get(`/users/${id}`, { token: admin })).status).toBe(200);
    });
  });

  describe('403', () => {
    it('refuses who may not delete users', async () => {
      const { id, email } = await person();
      expect((await erase(id, email, '', manager.token)).status).toBe(403);
    });
  });

  describe('of who was deleted before', () => {
    const deleted = async (roles: string[]) => {
      const one = await person({ roles });
      expect((await app.delete(`/users/${one.id}`, { token: admin })).status).toBe(204);
      return one;
    };
    let limited: TestUser;
    beforeAll(async () => {
      await app.addRole('leavers', ['platform:users:*']);
      await app.addRole('clerks', ['platform:users:read']);
      await app.addRole('sleepers', ['platform:audit:read']);
      await app.addRole('passing', ['platform:users:read']);
      await app.dataSource.query(`UPDATE role SET is_active = false WHERE name = 'sleepers'`);
      limited = await app.addUser(['leavers']);
    });

    it.each([
      ['a former admin', ['admin'], ['*']],
      ['a holder of a role that is switched off', ['clerks', 'sleepers'], ['platform:audit:read']],
    ])('refuses a caller who lacks what the roles permit of %s', async (_, roles, grants) => {
      const { id, email, name } = await deleted(roles);
      const { status, body } = await erase(id, email, '', limited.token);
      expect([status, body.code, body.grants]).toEqual([403, 'CANNOT_GRANT', grants]);
      expect(await placesOf(name)).toContain('personal_value');
      expect((await erase(id, email)).status).toBe(204);
    });

    it('takes a caller who holds it all', async () => {
      for (const roles of [['clerks'], []]) {
        const { id, email } = await deleted(roles);
        expect((await erase(id, email, '', limited.token)).status).toBe(204);
      }
    });

    it('asks for everything where a role is gone', async () => {
      const { id, email } = await deleted(['clerks', 'passing']);
      expect((await app.delete('/roles/passing', { token: admin })).status).toBe(204);
      expect((await erase(id, email, '', limited.token)).body).toMatchObject({ code: 'CANNOT_GRANT', grants: ['*'] });
      expect((await erase(id, email)).status).toBe(204);
    });
  });

  describe('409', () => {
    it('refuses the owner of keys unless it is said what becomes of them', async () => {
      const { id, email } = await person();
      const key = await makeKey(app, admin, { ownerId: id });
      expect((await erase(id, email)).body.code).toBe('OWNER_HAS_KEYS');
      expect((await erase(id, email, `?transferTo=${manager.id}`)).status).toBe(204);
      expect((await app.get(`/api-keys/${key.id}`, { token: admin })).body.ownerId).toBe(manager.id);
    });

    it('refuses the last admin', async () => {
      await app.addRole('all', ['*']);
      const other = await app.addUser(['all']);
      const { user: me } = (await app.get('/auth/me', { token: admin })).body;
      const answer = await erase(me.id, me.email, '', other.token);
      expect(answer.body.code).toBe('LAST_ADMIN');
    });

    it('refuses oneself, and deletes nothing, where another admin remains too', async () => {
      const self = await app.addUser(['admin']);
      const answer = await erase(self.id, self.email, '', self.token);
      expect([answer.status, answer.body.code]).toEqual([409, 'ERASURE_OF_SELF']);
      expect((await app.get('/auth/me', { token: self.token })).status).toBe(200);
      expect((await app.delete(`/users/${self.id}`, { token: admin })).status).toBe(204);
    });

    it('refuses a service account', async () => {
      const { body } = await app.post('/users', {
        token: admin,
        body: { name: 'Gateway', kind: 'service', managerIds: [manager.id], roles: [] },
      });
      expect((await erase(body.id, 'Gateway')).body.code).toBe('NOT_A_PERSON');
    });
  });
});
