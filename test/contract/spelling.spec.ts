import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { FastifyRequest } from 'fastify';
import { AccessGuard } from '../../src/access/access.guard.js';
import { type DeclaredRoute, RouteAccess } from '../../src/access/route-access.js';
import { TestApp } from '../support/app.js';
import { issueKey } from '../support/management.js';
import { verdictOf } from './access-matrix.js';
import { type Attempt, HEADERS, METHODS, SPELLINGS, type Tried, tryAll } from './spellings.js';

const MISSING_ID = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';

/** A caller, and the routes that are not for it. */
interface Caller {
  readonly name: string;
  /** null: it has none. */
  readonly role: string | null;
  readonly headers: readonly string[];
  /** The key that it shows as a gateway. */
  readonly gatewayKey?: string;
}

/** G07: what a caller may not do, it may not do in any spelling. */
describe('no spelling of a request', () => {
  let app: TestApp;
  let routes: DeclaredRoute[];
  let callers: Caller[];
  let admin: Caller;
  /** A key of the admin's, which no other caller may see or touch. */
  let foreignKey: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    routes = app.app.get(RouteAccess, { strict: false }).routes().flatMap(eachMethod);
    const token = await app.adminToken();
    const [low, other] = [await app.addUser(['user']), await app.addUser(['gateway'])];
    const secretOf = async (role: string, ownerId?: string) =>
      (await issueKey(app, token, { roles: [role], ...(ownerId === undefined ? {} : { ownerId }) })).secret;
    const [adminKey, lowKey, serviceKey] = [
      await secretOf('admin'),
      await secretOf('user', low.id),
      await secretOf('gateway', other.id),
    ];
    foreignKey = (await issueKey(app, token, { name: 'Another’s' })).id;
    await app.applied();
    admin = { name: 'the admin', role: 'admin', headers: [`Authorization: Bearer ${token}`], gatewayKey: adminKey };
    callers = [
      { name: 'a stranger', role: null, headers: [] },
      { name: 'a low user', role: 'user', headers: [`Authorization: Bearer ${low.token}`], gatewayKey: lowKey },
      { name: 'a service’s key', role: 'gateway', headers: [`X-API-Key: ${serviceKey}`], gatewayKey: serviceKey },
    ];
  });
  afterAll(() => app.stop());

  const port = (on = app) => Number(new URL(on.baseUrl).port);

  /** Whether the route is for the caller; of keys, its own alone, and `foreignKey` is not. */
  const isFor = ({ role }: Caller, route: DeclaredRoute) => {
    if (route.rule?.kind === 'public') return true;
    if (role === null) return false;
    return (
      verdictOf(route, role) === 'yes' || (verdictOf(route, role) === 'own' && !route.path.startsWith('/api-keys/:id'))
    );
  };
  /** Whether another method makes it a route that is for the caller. */
  const isForWith = (caller: Caller, route: DeclaredRoute, method: string) =>
    routes.some(
      (other) =>
        other.path === route.path && other.method === (method === 'HEAD' ? 'GET' : method) && isFor(caller, other),
    );
  const attempt = (caller: Caller, route: DeclaredRoute, form: Partial<Attempt> = {}): Attempt => {
    const gateway =
      route.rule?.kind === 'gateway' && caller.gatewayKey !== undefined
        ? [`X-Latchkey-Gateway-Key: ${caller.gatewayKey}`]
        : [];
    const method = form.method ?? route.method;
    const isOfForeignKey =
      caller.role !== null && route.path.startsWith('/api-keys/:id') && verdictOf(route, caller.role) === 'own';
    // Good ones: what got through would do something.
    const body =
      isOfForeignKey && /^P(OST|UT|ATCH)$/.test(method) ? (method === 'POST' ? '{}' : '{"name": "Taken over"}') : '';
    return {
      what: `${caller.name}: ${method} ${route.path}`,
      method,
      target: form.target ?? pathOf(route, foreignKey),
      isOfForeignKey,
      body,
      headers: [
        ...(route.rule?.kind === 'gateway' ? [] : caller.headers),
        ...gateway,
        ...(body === '' ? [] : ['Content-Type: application/json']),
        ...(form.headers ?? []),
      ],
    };
  };
  const closedTo = (caller: Caller) => routes.filter((route) => !isFor(caller, route));
  const everywhere = (attemptsOf: (caller: Caller, route: DeclaredRoute) => Attempt[]) =>
    callers.flatMap((caller) => closedTo(caller).flatMap((route) => attemptsOf(caller, route)));

  const spelled = (caller: Caller, route: DeclaredRoute, name: string) =>
    attempt(caller, route, { target: SPELLINGS[name]!(pathOf(route, foreignKey)) });
  const nothingOpened = ({ opened, refused }: Tried, floor: number) => {
    expect(opened).toEqual([]);
    expect(Object.values(refused).reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(floor);
  };

  it.each(Object.keys(SPELLINGS))('opens a route to a caller it is not for: a path %s', async (name) => {
    const attempts = everywhere((caller, route) => [spelled(caller, route, name)]);
    nothingOpened(await tryAll(port(), attempts), attempts.length);
  });

  it.each(Object.keys(HEADERS))('opens a route to a caller it is not for: %s', async (name) => {
    const attempts = everywhere((caller, route) =>
      [...new Set([route.method, 'GET', 'POST'])]
        .filter((method) => !isForWith(caller, route, method))
        .map((method) => attempt(caller, route, { method, headers: HEADERS[name]!(route) })),
    );
    nothingOpened(await tryAll(port(), attempts), 300);
  });

  it.each(METHODS)('opens a route to a caller it is not for: the method %s', async (method) => {
    const attempts = everywhere((caller, route) =>
      isForWith(caller, route, method) ? [] : [attempt(caller, route, { method })],
    );
    nothingOpened(await tryAll(port(), attempts), 100);
  });

  it('is refused by the guard where the admin gets in with it: on every route that only reads', async () => {
    const reading = routes.filter(({ method, rule }) => method === 'GET' && rule?.kind === 'permission');
    const low = callers[1]!;
    let [reached, spellings] = [0, 0];
    for (const name of Object.keys(SPELLINGS)) {
      const asAdmin = await tryAll(
        port(),
        reading.map((route) => spelled(admin, route, name)),
      );
      const asLow = await tryAll(
        port(),
        reading.map((route) => spelled(low, route, name)),
      );
      for (const route of reading) {
        const isReached = asAdmin.refusals.get(`${admin.name}: GET ${route.path}`) === null;
        const refusal = asLow.refusals.get(`${low.name}: GET ${route.path}`);
        expect([name, route.path, refusal === 'guard']).toEqual([name, route.path, isReached]);
        reached += Number(isReached);
      }
      spellings += Number(asAdmin.opened.length > 0);
    }
    expect(reading.length).toBeGreaterThanOrEqual(8);
    // As it is, with a query, with one and with all letters encoded, at least.
    expect(spellings).toBeGreaterThanOrEqual(4);
    expect(reached).toBeGreaterThanOrEqual(4 * reading.length);
  });

  it('is tried on routes that let the admin in, and changes nothing that is another’s', async () => {
    const before = await app.get(`/api-keys/${foreignKey}`, { token: await app.adminToken() });
    expect(before.body).toMatchObject({ name: 'Another’s', status: 'active' });
    const closed = closedTo(callers[0]!).filter(({ path }) => !path.startsWith('/auth/'));
    // Every one with a key of its own: the admin's requests do what they say.
    const token = await app.adminToken();
    const keys = new Map<DeclaredRoute, string>();
    for (const route of closed.filter(({ path }) => path.startsWith('/api-keys/:id')))
      keys.set(route, (await issueKey(app, token)).id);
    const { opened, refusals } = await tryAll(
      port(),
      closed.map((route) => attempt(admin, route, { target: pathOf(route, keys.get(route)) })),
    );
    const stayedOut = [...refusals].filter(
      ([what, refusal]) => refusal !== null && !/ALL|ext-authz|forward-auth/.test(what),
    );
    expect(stayedOut).toEqual([]);
    expect(opened.length).toBeGreaterThanOrEqual(40);
    expect(callers.map((caller) => closedTo(caller).length >= 25)).toEqual([true, true, true]);
  });

  it('escapes this test: a guard that looks at the path as it was sent is found out', async () => {
    const whole = Object.getOwnPropertyDescriptor(AccessGuard.prototype, 'canActivate')!;
    const canActivate = whole.value as AccessGuard['canActivate'];
    AccessGuard.prototype.canActivate = function (context) {
      const request = context.switchToHttp().getRequest<FastifyRequest>();
      if (/^\/api\/v1\/[a-z]/.test(request.url) && !/%[46]/.test(request.url)) return canActivate.call(this, context);
      request.caller = { principal: null, ip: null, requestId: request.id, action: null };
      return true;
    };
    try {
      for (const name of ['with an encoded letter', 'with all letters encoded']) {
        const { opened } = await tryAll(
          port(),
          everywhere((caller, route) => [spelled(caller, route, name)]),
        );
        expect(opened.length).toBeGreaterThan(10);
        for (const caller of callers)
          expect([caller.name, opened.some((what) => what.startsWith(caller.name))]).toEqual([caller.name, true]);
      }
    } finally {
      Object.defineProperty(AccessGuard.prototype, 'canActivate', whole);
    }
  });
});

/** A route for any method, as three of them. */
function eachMethod(route: DeclaredRoute): DeclaredRoute[] {
  return route.method === 'ALL' ? ['GET', 'POST', 'DELETE'].map((method) => ({ ...route, method })) : [route];
}

function pathOf({ path }: DeclaredRoute, keyId = MISSING_ID): string {
  return `/api/v1${path.replace('/api-keys/:id', `/api-keys/${keyId}`).replace(/:\w+|\*/g, MISSING_ID)}`;
}
