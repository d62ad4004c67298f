import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { KEY_SORTS } from '../../../src/api-keys/lists/key-sort.js';
import { TestApp } from '../../support/app.js';
import { issueKey } from '../../support/management.js';

const SIZE = 4;

describe('cursors of lists', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  interface Row {
    readonly id: string;
    readonly name: string;
  }

  /** Reads a list to its end; between two pages something happens to it. */
  async function walk(url: string, between: (seen: readonly Row[]) => Promise<void>): Promise<Row[]> {
    const rows: Row[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const { status, body } = await app.get(`${url}&size=${SIZE}${cursor === '' ? '' : `&cursor=${cursor}`}`, {
        token: admin,
      });
      expect([status, body.data.length <= SIZE]).toEqual([200, true]);
      expect(body.meta.page).toBe(cursor === '' ? 1 : null);
      rows.push(...(body.data as Row[]));
      cursor = body.meta.nextCursor as string | null;
      if (cursor !== null) await between(rows);
    }
    return rows;
  }

  it.each(KEY_SORTS)('of keys by %s neither repeat nor miss one while others come and go', async (sort) => {
    const tag = `walk:${sort}`;
    const make = async (name: string) => (await issueKey(app, admin, { name, tags: [tag] })).id;
    const stay: string[] = [];
    // Equal names, and two that differ in case alone: the id decides.
    for (const name of ['b', 'B', 'a', 'é', 'c', 'c', 'c', 'Z', '_', '日本', 'd']) stay.push(await make(name));
    const gone = new Set<string>();
    const rows = await walk(`/api-keys?sort=${sort}&tag=${encodeURIComponent(tag)}`, async (seen) => {
      // Of what was seen one goes, so that every page number behind it is wrong; and one comes at either end.
      const victim = seen.find(({ id }) => !gone.has(id))!;
      gone.add(victim.id);
      await app.delete(`/api-keys/${victim.id}/permanent`, { token: admin });
      await make('0 comes first');
      await make('~ comes last');
    });
    const ids = rows.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toEqual(expect.arrayContaining(stay));
    // By page numbers the same walk would have missed some.
    expect(gone.size).toBeGreaterThanOrEqual(2);
  });

  it('of users and of roles neither repeat nor miss one', async () => {
    const users: string[] = [];
    for (let index = 0; index < 9; index += 1) users.push((await app.addUser([])).id);
    const seenUsers = await walk('/users?isActive=true', async (seen) => {
      await app.addUser([]);
      const victim = seen.findLast(({ id }) => users.includes(id))!;
      await app.delete(`/users/${victim.id}`, { token: admin });
    });
    const userIds = seenUsers.map(({ id }) => id);
    expect([new Set(userIds).size, userIds]).toEqual([userIds.length, expect.arrayContaining(users)]);

    for (let index = 0; index < 9; index += 1) await app.addRole(`walked-${index}`, []);
    let made = 0;
    const names = (
      await walk('/roles?', async (seen) => {
        await app.addRole(`a-${(made += 1)}`, []);
        await app.delete(`/roles/${seen.find(({ name }) => /^walked/.test(name))?.name ?? 'none'}`, { token: admin });
      })
    ).map(({ name }) => name);
    const walked = names.filter((name) => name.startsWith('walked'));
    expect(walked).toEqual(Array.from({ length: 9 }, (_, index) => `walked-${index}`));
  });

  describe('400', () => {
    const url = '/api-keys?sort=name&size=1';
    const refused = async (path: string, field: string) => {
      const { status, body } = await app.get(path, { token: admin });
      expect([status, body.errors?.[0]?.path]).toEqual([400, field]);
    };
    const given = async (path = url) => (await app.get(path, { token: admin })).body.meta.nextCursor as string;

    it('for a cursor that was changed in any of its characters', async () => {
      const cursor = await given();
      expect((await app.get(`${url}&cursor=${cursor}`, { token: admin })).status).toBe(200);
      for (let at = 0; at < cursor.length; at += 1) {
        const other = cursor[at] === 'A' ? 'B' : 'A';
        await refused(`${url}&cursor=${cursor.slice(0, at)}${other}${cursor.slice(at + 1)}`, 'cursor');
      }
    });

    it.each(['x', '%22', '%20', 'W10', 'A'.repeat(1025), `${'A'.repeat(40)}%3D`])('for %s', (cursor) =>
      refused(`${url}&cursor=${cursor}`, 'cursor'),
    );

    it('for a cursor of another list, order or filter, and beside a page', async () => {
      const cursor = await given();
      await refused(`/api-keys?sort=-name&cursor=${cursor}`, 'cursor');
      await refused(`/api-keys?sort=name&environment=live&cursor=${cursor}`, 'cursor');
      await refused(`/users?cursor=${cursor}`, 'cursor');
      await refused(`/roles?cursor=${cursor}`, 'cursor');
      await refused(`${url}&page=2&cursor=${cursor}`, 'page');
      // The size of a page is free.
      expect((await app.get(`/api-keys?sort=name&size=3&cursor=${cursor}`, { token: admin })).status).toBe(200);
    });
  });

  it('show another caller no more than that one may see', async () => {
    const { body } = await app.get('/api-keys?size=1', { token: admin });
    const user = await app.addUser();
    await issueKey(app, user.token, { name: 'theirs' });
    const answer = await app.get(`/api-keys?size=1&cursor=${body.meta.nextCursor}`, { token: user.token });
    expect(answer.body.data.filter((key: { ownerId: string }) => key.ownerId !== user.id)).toEqual([]);
  });
});
