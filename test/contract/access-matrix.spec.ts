import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import type { DeclaredRoute } from '../../src/access/route-access.js';
import { RouteAccess } from '../../src/access/route-access.js';
import { Metrics } from '../../src/common/metrics.js';
import { type Answer, TestApp, type TestUser } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { issueKey } from '../support/management.js';
import { ROLES, matrixText, verdictOf } from './access-matrix.js';

const FILE = new URL('./access-matrix.md', `file://${import.meta.dirname}/`);

/** Nobody's id: a caller who passes the guard finds nothing, so that trying changes nothing. */
const MISSING_ID = '00000000-0000-7000-8000-000000000000';

/** Public to the guard, because they look at credentials of their own kind. */
const OWN_CREDENTIALS = /^\/metrics/;

/** Served by Fastify itself, without a guard: nothing in them is secret. */
const UNGUARDED = [/^\/docs(\/|$)/, /^\/docs-json$/, /^\/console(\/|\*|$)/];

/** Bodies that pass, of the routes that the short cut answers. */
const PLAIN_BODIES: Readonly<Record<string, unknown>> = {
  '/verify': { key: 'garbage' },
  '/verify/batch': { items: [{ key: 'garbage' }] },
  '/usage': { events: [{ id: 'one', apiKeyId: MISSING_ID }] },
};

async function shortCutAnswers(app: TestApp): Promise<number> {
  const text = await app.app.get(Metrics).registry.metrics();
  return Number(/^latchkey_short_cut_requests_total\{outcome="answered"\} (\d+)$/m.exec(text)?.[1]);
}

describe('access', () => {
  let app: TestApp;
  let routes: DeclaredRoute[];
  const users = new Map<string, TestUser>();
  /** A key of each role's holder, with that role: what a gateway of that holder would show. */
  const gatewayKeys = new Map<string, string>();

  beforeAll(async () => {
    app = await TestApp.start();
    routes = app.app.get(RouteAccess, { strict: false }).routes();
    const admin = await app.adminToken();
    for (const role of ROLES) {
      const user = await app.addUser([role]);
      users.set(role, user);
      gatewayKeys.set(role, (await issueKey(app, admin, { roles: [role], ownerId: user.id })).secret);
    }
  });
  afterAll(() => app.stop());

  it('is what the checked-in table says', async () => {
    const text = matrixText(routes);
    if (process.env['UPDATE_CONTRACT'] === '1') await writeFile(FILE, text);
    expect(text).toBe(await readFile(FILE, 'utf8'));
  });

  it('is refused to strangers on every route that is not public', async () => {
    const wrong: string[] = [];
    for (const route of routes) {
      const { status, headers } = await ask(route);
      const isOpen = route.rule?.kind === 'public' && !OWN_CREDENTIALS.test(route.path);
      if (isOpen ? status === 403 : route.rule?.kind !== 'public' && status !== 401)
        wrong.push(`${route.method} ${route.path}: ${status}`);
      if (status === 401 && !headers.get('www-authenticate')?.startsWith('Bearer'))
        wrong.push(`${route.method} ${route.path}: no challenge`);
    }
    expect(wrong).toEqual([]);
  });

  it.each(ROLES)('is for the role %s what the table says, on every route', async (role) => {
    const wrong: string[] = [];
    for (const route of routes) {
      const user = users.get(role)!;
      const answer =
        route.rule?.kind === 'gateway'
          ? await ask(route, undefined, gatewayKeys.get(role))
          : await ask(route, user.token);
      const { permission, alsoNeeds } = (route.rule ?? {}) as { permission?: string; alsoNeeds?: string };
      const isRefused =
        answer.status === 403 &&
        answer.body.code === 'PERMISSION_DENIED' &&
        [permission, alsoNeeds ?? permission].includes(answer.body.permission as string);
      const expected = verdictOf(route, role) === 'no';
      // A gateway that is let in hears that its client, who presents nothing, is not.
      const isAnswered = route.rule?.kind === 'gateway' && answer.body.code === 'UNAUTHENTICATED';
      const isUnknown =
        answer.status === 401 && !isAnswered && !route.path.startsWith('/auth/') && !OWN_CREDENTIALS.test(route.path);
      if (isRefused !== expected || isUnknown || answer.status >= 500)
        wrong.push(
          `${route.method} ${route.path}: ${answer.status} ${answer.body?.code}, expected ${verdictOf(route, role)}`,
        );
      // Signing out, say, has ended the session.
      if (route.path.startsWith('/auth/'))
        users.set(role, { ...user, token: await app.tokenOf(user.email, user.password) });
    }
    expect(wrong).toEqual([]);
  });

  it.each(ROLES)('is for a key of the role %s what the table says, on the routes of the short cut', async (role) => {
    const apiKey = gatewayKeys.get(role)!;
    const short = routes.filter(({ method, path }) => method === 'POST' && path in PLAIN_BODIES);
    expect(short).toHaveLength(Object.keys(PLAIN_BODIES).length);
    const wrong: string[] = [];
    for (const route of short) {
      const isAllowed = verdictOf(route, role) !== 'no';
      const body = PLAIN_BODIES[route.path];
      const send = () => app.post(route.path, { apiKey, body });
      // The first one may have to load the key, which the short cut leaves to the route.
      await send();
      const before = await shortCutAnswers(app);
      const { status } = await send();
      if (status !== (isAllowed ? 200 : 403)) wrong.push(`${route.path}: ${status}`);
      const answered = async () => {
        await send();
        expect(await shortCutAnswers(app)).toBeGreaterThan(before);
      };
      if (isAllowed) await eventually(answered);
      else if ((await shortCutAnswers(app)) !== before) wrong.push(`${route.path}: was answered on the short cut`);
    }
    expect(wrong).toEqual([]);
  });

  it('guards every path that Fastify serves, but for documents and the console', () => {
    const known = new Set(routes.map(({ method, path }) => `${method} ${fullPath(path)}`));
    const unguarded = servedRoutes(app).filter(({ method, path }) => {
      if (UNGUARDED.some((pattern) => pattern.test(path))) return false;
      return !known.has(`${method === 'HEAD' ? 'GET' : method} ${path}`) && !known.has(`ALL ${path}`);
    });
    expect(unguarded).toEqual([]);
    expect(servedRoutes(app).length).toBeGreaterThan(routes.length);
  });

  function ask(route: DeclaredRoute, token?: string, gatewayKey?: string): Promise<Answer> {
    const path = fullPath(route.path)
      .replace(/:id\b/g, MISSING_ID)
      .replace(/:kid\b/g, '0'.repeat(14))
      .replace(/:\w+/g, 'missing')
      .replace(/\*.*$/, '');
    const headers: Record<string, string> = gatewayKey === undefined ? {} : { 'x-latchkey-gateway-key': gatewayKey };
    return app.request(route.method === 'ALL' ? 'GET' : route.method, `/${path}`, {
      ...(token === undefined ? {} : { token }),
      headers,
    });
  }
});

function fullPath(path: string): string {
  return /^\/(health|metrics)(\/|$)/.test(path) ? path : `/api/v1${path}`;
}

/** From the router itself, not from the decorators. */
function servedRoutes(app: TestApp): { method: string; path: string }[] {
  const tree = (app.app.getHttpAdapter().getInstance() as { printRoutes(options: object): string }).printRoutes({
    commonPrefix: false,
  });
  const parents: string[] = [];
  return tree.split('\n').flatMap((line) => {
    const found = /^([│├└─\s]*)(.*?)(?: \(([A-Z, ]+)\))?$/.exec(line);
    if (!found?.[2]) return [];
    const depth = Math.ceil(found[1]!.length / 4);
    parents.length = depth;
    const path = `${parents.join('')}${found[2]}`;
    parents.push(found[2]);
    // The tree leaves out the slash before a wildcard.
    const whole = `${path.startsWith('/') ? '' : '/'}${path.replace(/([^/])\*$/, '$1/*')}`;
    return (found[3] ?? '')
      .split(', ')
      .filter(Boolean)
      .map((method) => ({ method, path: whole }));
  });
}
