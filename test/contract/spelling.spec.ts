import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type DeclaredRoute, RouteAccess } from '../../src/access/route-access.js';
import { TestApp } from '../support/app.js';
import { rawRequest, sendRaw } from '../support/raw-http.js';

/** Other ways to write the path of a route, as proxies, frameworks and servers have read them differently before. */
const SPELLINGS: Record<string, (path: string) => string> = {
  'as it is': (path) => path,
  'with a slash at its end': (path) => `${path}/`,
  'with every slash doubled': (path) => path.replaceAll('/', '//'),
  'with two slashes in front': (path) => `/${path}`,
  'in capitals': (path) => path.toUpperCase(),
  'with one capital': (path) => path.replace('/api/v1', '/Api/v1'),
  'with an encoded letter': (path) => path.replace(/[a-z](?=[^/]*$)/, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
  'with all letters encoded': (path) => path.replace(/[a-z]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
  'encoded twice': (path) => path.replace(/[a-z](?=[^/]*$)/, (letter) => `%25${letter.charCodeAt(0).toString(16)}`),
  'with an encoded slash': (path) => path.replace(/\/(?=[^/]*$)/, '%2f'),
  'with a dot segment': (path) => path.replace(/\/(?=[^/]*$)/, '/./'),
  'with an encoded dot segment': (path) => path.replace(/\/(?=[^/]*$)/, '/%2e/'),
  'through a public path': (path) => `/health/live/..${path}`,
  'through an encoded public path': (path) => `/health/live/%2e%2e${path}`,
  'through two of them': (path) => `/health/live/../..${path}`,
  'with a semicolon': (path) => `${path};jsessionid=1`,
  'with a semicolon inside': (path) => path.replace('/api', '/api;x'),
  'with a query': (path) => `${path}?x=/health/live`,
  'with a fragment': (path) => `${path}#/health/live`,
  'with an encoded question mark': (path) => `${path}%3fx=1`,
  'with an encoded NUL': (path) => `${path}%00`,
  'with an encoded line end': (path) => `${path}%0d%0a`,
  'with a backslash': (path) => path.replace(/\/(?=[^/]*$)/, '\\'),
  'with an extension': (path) => `${path}.json`,
  'with a tab': (path) => `${path}%09`,
  'with an overlong slash': (path) => path.replace(/\/(?=[^/]*$)/, '%c0%af'),
  'as a whole URL': (path) => `http://127.0.0.1${path}`,
  'as a whole URL of another host': (path) => `http://localhost/health/live@${path}`,
};

/** Headers by which somebody in front of us has meant another request. */
const HEADERS: Record<string, (route: DeclaredRoute) => string[]> = {
  'a method override': ({ method }) => [`X-HTTP-Method-Override: ${method}`, `X-HTTP-Method: ${method}`, `X-Method-Override: ${method}`],
  'another path in a header': () => ['X-Original-URL: /health/live', 'X-Rewrite-URL: /health/live', 'X-Forwarded-Uri: /health/live', 'X-Forwarded-Prefix: /health'],
  'a forged host': () => ['Host: localhost:1', 'X-Forwarded-Host: health', 'Forwarded: for=127.0.0.1;host=localhost'],
  'a host that is a public path': () => ['Host: health/live'],
  'a local address': () => ['X-Forwarded-For: 127.0.0.1', 'X-Real-IP: 127.0.0.1', 'X-Client-IP: 127.0.0.1', 'True-Client-IP: 127.0.0.1'],
  'the word of a proxy': () => ['X-Forwarded-User: admin', 'X-Remote-User: admin', 'X-Authenticated-User: admin', 'X-Latchkey-Owner-Id: admin'],
  'empty credentials': () => ['Authorization: Bearer', 'X-API-Key: '],
  'a cookie of nothing': () => ['Cookie: latchkey_session='],
};

describe('no spelling of a request', () => {
  let app: TestApp;
  let port: number;
  let guarded: DeclaredRoute[];

  beforeAll(async () => {
    app = await TestApp.start();
    port = Number(new URL(app.baseUrl).port);
    guarded = app.app
      .get(RouteAccess, { strict: false })
      .routes()
      .flatMap(eachMethod)
      .filter((route) => route.rule?.kind !== 'public');
  });
  afterAll(() => app.stop());

  it.each(Object.keys(SPELLINGS))('opens a guarded route: a path %s', async (name) => {
    const opened: string[] = [];
    for (const route of guarded) {
      const { status } = await sendRaw(port, rawRequest(route.method, SPELLINGS[name]!(pathOf(route))));
      if (status < 400 || status >= 500) opened.push(`${route.method} ${route.path}: ${status}`);
    }
    expect(opened).toEqual([]);
  });

  it.each(Object.keys(HEADERS))('opens a guarded route: %s', async (name) => {
    const opened: string[] = [];
    for (const route of guarded) {
      for (const method of new Set([route.method, 'GET', 'POST'])) {
        const { status } = await sendRaw(port, rawRequest(method, pathOf(route), HEADERS[name]!(route)));
        if (status < 400 || status >= 500) opened.push(`${method} ${route.path}: ${status}`);
      }
    }
    expect(opened).toEqual([]);
  });

  it.each(['HEAD', 'OPTIONS', 'TRACE', 'CONNECT', 'PROPFIND', 'GETT', 'get', 'PUT', 'PATCH', 'DELETE'])('opens a guarded route: the method %s', async (method) => {
    const opened: string[] = [];
    for (const route of guarded) {
      // CONNECT is no request to Node: it closes the connection without a word.
      const answer = await sendRaw(port, rawRequest(method, pathOf(route))).catch(() => ({ status: 400 }));
      if (answer.status < 400 || answer.status >= 500) opened.push(`${method} ${route.path}: ${answer.status}`);
    }
    expect(opened).toEqual([]);
  });

  it('is tried on something', () => {
    expect(guarded.length).toBeGreaterThan(3);
  });
});

/** A route for any method, as three of them. */
function eachMethod(route: DeclaredRoute): DeclaredRoute[] {
  return route.method === 'ALL' ? ['GET', 'POST', 'DELETE'].map((method) => ({ ...route, method })) : [route];
}

function pathOf({ path }: DeclaredRoute): string {
  return `/api/v1${path.replace(/:\w+|\*/g, '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55')}`;
}
