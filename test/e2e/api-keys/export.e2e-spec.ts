import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { storeKeys } from '../../support/stored-keys.js';

describe('GET /api-keys/export', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser();
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('is a CSV file with a line for each key, in the order asked for', async () => {
      const [first, second] = await storeKeys(app, [
        {
          ownerId: owner.id,
          name: 'b, with "quotes"\r\nand lines',
          tags: ['x', 'y'],
          budgetLimitMicroCents: 12_500_000,
        },
        { ownerId: owner.id, name: 'a', description: 'Grüße' },
      ]);
      const { status, headers, body } = await app.get('/api-keys/export?sort=name', { token: owner.token });
      expect(status).toBe(200);
      expect(headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
      expect(headers.get('content-disposition')).toBe('attachment; filename="api-keys.csv"');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(body).toMatch(/^"id","alias","name","description","ownerId",/);
      expect(body).toContain(`\r\n"${second}",,"a","Grüße","${owner.id}",`);
      expect(body).toContain(`\r\n"${first}",,"b, with ""quotes""\r\nand lines",,"${owner.id}",`);
      expect(body).toContain(',false,12.5,"total","x y","{}",');
      expect(body.indexOf(second)).toBeLessThan(body.indexOf(first));
      await app.dataSource.query('DELETE FROM api_key');
    });

    it.each([
      ['=1+1', "'=1+1"],
      ['+1', "'+1"],
      ['-1', "'-1"],
      ['@SUM(A1)', "'@SUM(A1)"],
      ['\t=1', "'\t'=1"],
      ['a;=1+1', "a;'=1+1"],
      ['=HYPERLINK("http://x","y")', `'=HYPERLINK(""http://x"",""y"")`],
    ])('disarms a name that is a formula in a spreadsheet: %j', async (name, written) => {
      await storeKeys(app, [{ ownerId: owner.id, name, description: name }]);
      const { body } = await app.get('/api-keys/export', { token: owner.token });
      expect(body).toContain(`,"${written}","${written}",`);
      await app.dataSource.query('DELETE FROM api_key');
    });

    it.each(['-createdAt', 'name', 'expiresAt', '-lastUsedAt'])(
      'walks all keys once, batch after batch, by %s',
      async (sort) => {
        // Ties everywhere, so that only the id tells where a batch ended; microseconds, which a Date would lose.
        await storeKeys(
          app,
          Array.from({ length: 1203 }, (_, index) => ({
            ownerId: owner.id,
            name: `n${index % 3}`,
            expiresAt: index % 2 ? new Date('2999-01-01') : null,
          })),
        );
        await app.dataSource.query(
          `UPDATE api_key SET created_at = date_trunc('second', created_at) + interval '123456 us'`,
        );
        await app.dataSource.query(
          `UPDATE key_totals SET last_used_at = created_at FROM api_key WHERE id = key_id AND name = 'n1'`,
        );
        const { body } = await app.get(`/api-keys/export?sort=${sort}`, { token: owner.token });
        const lines = body.trim().split('\r\n').slice(1) as string[];
        expect(lines).toHaveLength(1203);
        expect(new Set(lines.map((line) => line.slice(0, 38))).size).toBe(1203);
        await app.dataSource.query('DELETE FROM api_key');
      },
    );

    it('is narrowed by the filters of the list', async () => {
      const [wanted] = await storeKeys(app, [{ ownerId: owner.id, tags: ['yes'] }, { ownerId: owner.id }]);
      const { body } = await app.get('/api-keys/export?tag=yes', { token: owner.token });
      expect(body.trim().split('\r\n').slice(1)).toEqual([expect.stringContaining(wanted!)]);
      await app.dataSource.query('DELETE FROM api_key');
    });

    it('has only its header when nothing matches', async () => {
      const { body } = await app.get('/api-keys/export?tag=none', { token: owner.token });
      expect(body.trim().split('\r\n')).toHaveLength(1);
    });
  });

  describe('400', () => {
    it.each(['page=1', 'sort=other', 'search=ab'])('refuses %s as a problem, not as a file', async (query) => {
      const { status, headers } = await app.get(`/api-keys/export?${query}`, { token: admin });
      expect(status).toBe(400);
      expect(headers.get('content-type')).toContain('application/problem+json');
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.get('/api-keys/export')).status).toBe(401);
    });
  });

  describe('403', () => {
    it('refuses another’s keys before the first byte', async () => {
      const stranger = await app.addUser();
      const { status, body } = await app.get(`/api-keys/export?ownerId=${owner.id}`, { token: stranger.token });
      expect(status).toBe(403);
      expect(body.code).toBe('PERMISSION_DENIED');
    });
  });
});
