import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { NARROWING_ACTS } from '../../src/access/narrowing-acts.js';
import { type DeclaredRoute, RouteAccess } from '../../src/access/route-access.js';
import { READING_VERBS } from '../../src/audit/audit-events.repository.js';
import { TestApp } from '../support/app.js';

/** Acts that may wait behind a flood, and what is there instead of those that also end something. */
const WAITING: Readonly<Record<string, string | null>> = {
  'api-keys:activate': null,
  'api-keys:create': null,
  'api-keys:import': null,
  'api-keys:renew': null,
  'api-keys:transfer': null,
  'api-keys:update': null,
  'hand-overs:create': null,
  'auth:acknowledge': null,
  'auth:login': null,
  'limits:create': null,
  'limits:delete': 'ends nothing: a limit that is gone refuses nothing',
  'projects:create': null,
  'subjects:erase': null,
  'roles:create': null,
  'second-factors:create': null,
  'second-factors:regenerate': null,
  'users:create': null,
  'api-keys:bulk': 'counts by its action: revoke and deactivate do not wait',
  'api-keys:regenerate': 'gives a secret: api-keys:revoke ends the key, api-key-secrets:delete one of its secrets',
  'api-key-secrets:draw': 'gives a secret, as api-keys:regenerate does',
  'second-factors:activate': 'adds a factor: sessions:revoke ends the other sessions',
};

/** Acts of the server itself, which no route has. */
const OF_THE_SERVER = ['system:history-lost'];

describe('An act that takes access away', () => {
  let app: TestApp;
  let routes: DeclaredRoute[];

  beforeAll(async () => {
    app = await TestApp.start();
    routes = app.app.get(RouteAccess, { strict: false }).routes();
  });
  afterAll(() => app.stop());

  const name = ({ method, path, audited }: DeclaredRoute) => `${method} ${path}: ${audited?.action}`;

  it('has a lane of its own on every route that ends sessions, keys, secrets, roles, users or second factors', () => {
    const ending = routes.filter(
      ({ method, path, audited }) =>
        audited !== undefined && (method === 'DELETE' || /\/(logout|revoke|self-revoke|deactivate|remove)$/.test(path)),
    );
    expect(ending.length).toBeGreaterThanOrEqual(11);
    const waiting = ending.filter(({ audited }) => !NARROWING_ACTS.has(audited!.action));
    expect(waiting.map(name)).toEqual(['DELETE /limits/:id: limits:delete']);
  });

  it('is told from one that may wait, for each act there is', () => {
    const verbs: readonly string[] = READING_VERBS;
    const acts = routes
      .flatMap(({ audited }) => audited?.action ?? [])
      .filter((act) => !verbs.includes(act.split(':')[1]!));
    expect([...new Set(acts), ...OF_THE_SERVER].sort()).toEqual([...NARROWING_ACTS, ...Object.keys(WAITING)].sort());
  });
});
