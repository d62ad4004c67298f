import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type DeclaredRoute, RouteAccess } from '../../src/access/route-access.js';
import { TestApp, type TestUser, type Answer } from '../support/app.js';
import { makeKey, trailOf } from '../support/made-keys.js';

const MISSING = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';

/** Everything a stranger sees of an answer, but for what differs between any two answers. */
function seen({ status, headers, body: { requestId: _, ...body } }: Answer): object {
  const shown = Object.fromEntries([...headers].filter(([name]) => !['date', 'x-request-id'].includes(name)));
  return { status, headers: shown, body: JSON.stringify(body) };
}

describe('another’s key', () => {
  let app: TestApp;
  let stranger: TestUser;
  let routes: DeclaredRoute[];
  let foreign: { id: string; kid: string };
  let strangersKey: { secret: string };

  beforeAll(async () => {
    app = await TestApp.start();
    stranger = await app.addUser(['creator']);
    const owner = await app.addUser(['creator']);
    foreign = await makeKey(app, owner.token);
    strangersKey = await makeKey(app, stranger.token, { roles: ['creator'] });
    routes = app.app
      .get(RouteAccess)
      .routes()
      .filter(({ path }) => path.startsWith('/api-keys/:id'));
  });
  afterAll(() => app.stop());

  const ask = (route: DeclaredRoute, id: string, credentials: object, body: unknown) =>
    app.request(route.method, route.path.replace(':id', id).replace(':kid', foreign.kid), {
      ...credentials,
      ...(route.method === 'GET' || body === undefined ? {} : { body }),
    });

  it('has routes to look at', () => {
    expect(routes.length).toBeGreaterThanOrEqual(12);
  });

  it('looks like a key that does not exist, on every route, to people and keys, whatever they send', async () => {
    const bodies = [undefined, { name: '', unknown: 1 }, { ownerId: stranger.id }];
    for (const route of routes) {
      await Promise.all(
        [{ token: stranger.token }, { apiKey: strangersKey.secret }].flatMap((credentials) =>
          bodies.map(async (body) => {
            const [existing, missing] = await Promise.all([
              ask(route, foreign.id, credentials, body),
              ask(route, MISSING, credentials, body),
            ]);
            const where = `${route.method} ${route.path} ${JSON.stringify(body)}`;
            const status = route.rule?.kind === 'permission' ? 403 : 404;
            expect({ where, ...seen(existing) }).toEqual({ where, ...seen(missing) });
            expect({ where, status: existing.status }).toEqual({ where, status });
          }),
        ),
      );
    }
    expect(await trailOf(app, foreign.id)).toHaveLength(1);
  });

  it('is not looked for without credentials, nor under an id that is no UUID', async () => {
    for (const route of routes) {
      expect((await ask(route, foreign.id, {}, undefined)).status).toBe(401);
      const { status, body } = await ask(route, 'no-uuid', { token: await app.adminToken() }, undefined);
      expect({ path: route.path, status, code: body.code }).toEqual({
        path: route.path,
        status: 400,
        code: 'INVALID_KEY_ID',
      });
    }
  });
});
