import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { NARROWING_ACTS } from '../../src/access/narrowing-acts.js';
import { type DeclaredRoute, RouteAccess } from '../../src/access/route-access.js';
import { TRAFFIC_CLASSES } from '../../src/access/traffic-class.js';
import { limitsOf, routeClasses } from '../../src/http/traffic.js';
import { API_PREFIX } from '../../src/openapi/document.js';
import { TestApp } from '../support/app.js';

describe('The class of a route', () => {
  let app: TestApp;
  let routes: DeclaredRoute[];
  let classOf: ReturnType<typeof routeClasses>;

  beforeAll(async () => {
    app = await TestApp.start();
    routes = app.app.get(RouteAccess, { strict: false }).routes();
    classOf = routeClasses(routes, API_PREFIX);
  });
  afterAll(() => app.stop());

  const urlOf = ({ path }: DeclaredRoute) => (/^\/(health|metrics)/.test(path) ? path : `/${API_PREFIX}${path}`);
  const named = (route: DeclaredRoute) => `${route.method} ${route.path}`;
  const of = (name: string | null) =>
    routes.filter((route) => classOf({ method: route.method, url: urlOf(route) }) === name).map(named);

  it('is found under the name that the server has for the route', () => {
    const fastify = app.app.getHttpAdapter().getInstance();
    const isKnown = (route: DeclaredRoute) =>
      fastify.hasRoute({ method: route.method === 'ALL' ? 'GET' : route.method, url: urlOf(route) });
    expect(routes.filter((route) => !isKnown(route)).map(named)).toEqual([]);
    expect(routes.length).toBeGreaterThan(60);
  });

  it('is verify for what services and gateways ask on every request', () => {
    expect(of('verify').sort()).toEqual([
      'ALL /ext-authz',
      'ALL /ext-authz/*',
      'ALL /forward-auth',
      'POST /introspect',
      'POST /verify',
      'POST /verify/batch',
    ]);
  });

  it('is usage for what services report', () => {
    expect(of('usage').sort()).toEqual(['POST /reservations/release', 'POST /reservations/renew', 'POST /usage']);
  });

  it('is revocation for every act that takes access away, and for nothing else', () => {
    const narrowing = routes.filter(({ audited }) => audited !== undefined && NARROWING_ACTS.has(audited.action));
    expect(of('revocation').sort()).toEqual(narrowing.map(named).sort());
  });

  it('is none for probes and scrapers', () => {
    expect(of(null).sort()).toEqual(['GET /health', 'GET /health/live', 'GET /health/ready', 'GET /metrics']);
  });

  it('is management for all other routes of the API, and pages for all else', () => {
    const others = routes.length - [...of('verify'), ...of('usage'), ...of('revocation'), ...of(null)].length;
    expect(of('management').length).toBe(others);
    expect(classOf({ method: 'GET', url: '/console/*' })).toBe('pages');
    expect(classOf({ method: 'HEAD', url: `/${API_PREFIX}/api-keys` })).toBe('management');
  });

  it('has a place for one request at least, and together no more than MAX_IN_FLIGHT', () => {
    for (const most of [64, 65, 8192]) {
      const bounds = TRAFFIC_CLASSES.map((name) => limitsOf(name, most));
      expect(
        Math.min(...bounds.flatMap(({ maxInFlight, maxHeld, alwaysHeld }) => [maxInFlight, maxHeld, alwaysHeld])),
      ).toBeGreaterThanOrEqual(1);
      expect(bounds.reduce((sum, { maxInFlight }) => sum + maxInFlight, 0)).toBeLessThanOrEqual(most);
    }
  });
});
