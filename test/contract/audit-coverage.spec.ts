import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type DeclaredRoute, RouteAccess } from '../../src/access/route-access.js';
import { READING_VERBS } from '../../src/audit/audit-events.repository.js';
import { TestApp } from '../support/app.js';

/** Routes with an unsafe method that change nothing of the management plane, each with its reason. */
const UNAUDITED: Record<string, string> = {
  'POST /verify': 'asked on every request the platform serves; counted, not recorded singly',
  'POST /verify/batch': 'as POST /verify',
  'POST /introspect': 'as POST /verify, and consumes nothing',
  'POST /usage': 'usage has a ledger of its own, with an id for every event',
  'POST /reservations/release': 'as POST /usage',
  'POST /reservations/renew': 'as POST /usage',
};

/** The authorisation calls of proxies take every method, and are verifies. */
const AS_VERIFY = /^\/(forward-auth|ext-authz)/;

describe('the audit trail', () => {
  let app: TestApp;
  let access: RouteAccess;

  beforeAll(async () => {
    app = await TestApp.start();
    access = app.app.get(RouteAccess, { strict: false });
  });
  afterAll(() => app.stop());

  it('has a name for the act of every route that may change something', () => {
    const name = ({ method, path }: DeclaredRoute) => `${method} ${path}`;
    const silent = access.unaudited().filter((route) => !AS_VERIFY.test(route.path) && !(name(route) in UNAUDITED));
    expect(silent.map(name)).toEqual([]);
  });

  it('names what changes nothing by a reading verb, and nothing else: the filter isRead goes by it', () => {
    const verbs: readonly string[] = READING_VERBS;
    const wrong = access
      .routes()
      .filter(
        ({ method, audited }) =>
          audited && (audited.isRead === true || method === 'GET') !== verbs.includes(audited.action.split(':')[1]!),
      );
    expect(wrong.map(({ method, path, audited }) => `${method} ${path}: ${audited?.action}`)).toEqual([]);
  });

  it('calls every act resource:verb', () => {
    const names = access.routes().flatMap(({ audited }) => (audited ? [audited.action] : []));
    expect(names.filter((name) => !/^[a-z]+(-[a-z]+)*:[a-z]+(-[a-z]+)*$/.test(name))).toEqual([]);
  });
});
