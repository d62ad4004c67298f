import { Changes } from '../../src/audit/changes.js';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { addDemoData, demoAccess } from '../../src/server/demo.js';
import { compareTables, describeDifference } from '../../src/integrity/table-comparison.js';
import { DEMO } from '../../src/openapi/demo-ids.js';
import {
  BODY_EXAMPLES,
  EXAMPLE_CODE,
  EXAMPLE_PASSWORD,
  EXAMPLE_SECRET,
  EXAMPLE_SESSION_ID,
} from '../../src/openapi/examples.js';
import { seed } from '../../src/users/seed.js';
import { ADMIN, TestApp } from '../support/app.js';
import { ROOT, examplesIn, run } from '../client/examples.js';
import { PATIENCE_MS, eventually } from '../support/eventually.js';
import { codeOf, setUpFactor } from '../support/second-factor.js';
import { type Document, type NamedOperation, checkedInDocument, operationsOf } from '../support/openapi.js';

/** Examples that cannot work as they are, each with the reason. */
const CANNOT_WORK: Record<string, string> = {
  'GET /api/v1/auth/oidc/login': 'leads a browser to an identity provider, and the demo has none',
  'GET /api/v1/auth/oidc/callback': 'as GET /api/v1/auth/oidc/login',
};

const ADMIN_METRICS_TOKEN = 'a-token-for-the-metrics-of-tests-0123456789';

/** What a person has done before, where an example goes on from another. */
interface Prepared {
  /** Whose session it is, where it is not the admin's. */
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Texts of the example that an earlier answer, or the terminal, says. */
  readonly replace?: Readonly<Record<string, string>>;
}

const ADA = DEMO.ownerId;

const PREPARED: Record<string, (app: TestApp) => Promise<Prepared>> = {
  'GET /metrics': () => Promise.resolve({ token: ADMIN_METRICS_TOKEN }),
  'POST /api/v1/reservations/release': async (app) => {
    const { token } = await asAdmin(app);
    const body = { key: demoAccess(app.config).exampleSecret, reserveCents: 1 };
    const { reservation } = (await app.post('/verify', { token, body })).body as { reservation: { id: string } };
    return { replace: { [BODY_EXAMPLES['POST /reservations/release'].reservationId]: reservation.id } };
  },
  'POST /api/v1/reservations/renew': async (app) => {
    const { token } = await asAdmin(app);
    const body = { key: demoAccess(app.config).exampleSecret, reserveCents: 1, reservationTtlSeconds: 120 };
    const { reservation } = (await app.post('/verify', { token, body })).body as { reservation: { id: string } };
    return { replace: { [BODY_EXAMPLES['POST /reservations/renew'].reservationId]: reservation.id } };
  },
  'GET /api/v1/users/{id}/sessions': async (app) => {
    await asAda(app);
    return {};
  },
  'DELETE /api/v1/users/{id}/sessions/{sessionId}': async (app) => {
    await asAda(app);
    const { data } = (await app.get(`/users/${ADA}/sessions`, await asAdmin(app))).body as { data: { id: string }[] };
    return { replace: { [EXAMPLE_SESSION_ID]: data[0]!.id } };
  },
  'DELETE /api/v1/api-keys/{id}/hand-over': withOffer,
  'POST /api/v1/api-keys/{id}/draw': async (app) => {
    await withOffer(app);
    return asAda(app);
  },
  'POST /api/v1/auth/second-factor': asAda,
  'POST /api/v1/auth/second-factor/confirm': async (app) => {
    const { token, password } = await asAda(app);
    const { body } = await app.post('/auth/second-factor', { token, body: { password } });
    return { token, replace: { [EXAMPLE_CODE]: await codeOf(app, (body as { secret: string }).secret) } };
  },
  'POST /api/v1/auth/second-factor/recovery-codes': withFactor,
  'POST /api/v1/auth/second-factor/remove': withFactor,
  'DELETE /api/v1/users/{id}/second-factor': async (app) => {
    await withFactor(app);
    return {};
  },
  ...Object.fromEntries(
    ['GET /api/v1/forward-auth', 'GET /api/v1/ext-authz', 'GET /api/v1/ext-authz/{path}'].map((route) => [
      route,
      async (app: TestApp) => {
        const { gatewaySecret, exampleSecret } = demoAccess(app.config);
        return { token: exampleSecret, headers: { 'x-latchkey-gateway-key': gatewaySecret } };
      },
    ]),
  ),
};

/** An admin offers the secret of Ada's key. */
async function withOffer(app: TestApp): Promise<{ token: string }> {
  const admin = await asAdmin(app);
  await app.post(`/api-keys/${DEMO.keyId}/hand-over`, { ...admin, body: {} });
  return admin;
}

async function asAdmin(app: TestApp): Promise<{ token: string }> {
  return { token: await app.adminToken() };
}

async function asAda(app: TestApp): Promise<{ token: string; password: string }> {
  const { email, password } = demoAccess(app.config).people[0]!;
  return { token: await app.tokenOf(email, password), password };
}

async function withFactor(app: TestApp): Promise<Prepared> {
  const { token, password } = await asAda(app);
  await setUpFactor(app, token, password);
  return { token };
}

/** What an answer must say besides its status, where a 2xx may also say no. */
const MEANT: Record<string, object> = {
  'POST /api/v1/verify': { valid: true, code: 'VALID' },
  'POST /api/v1/verify/batch': { results: [{ code: 'VALID' }, { code: 'VALID' }] },
  'POST /api/v1/usage': { accepted: 1 },
  'POST /api/v1/introspect': { active: true },
  'POST /api/v1/api-keys/import': { results: [{ outcome: 'created' }] },
  'POST /api/v1/api-keys/bulk': { results: [{ outcome: 'done' }, { outcome: 'done' }] },
  'POST /api/v1/api-keys/{id}/explain': { valid: true },
  'POST /api/v1/audit-events/verify': { ok: true },
};

const document = await checkedInDocument();
const pressed = operationsOf(document).filter(({ method, path }) => !(`${method} ${path}` in CANNOT_WORK));

describe('with --demo', () => {
  let app: TestApp;
  let example: Document;

  beforeAll(async () => {
    app = await TestApp.start({ METRICS_TOKEN: ADMIN_METRICS_TOKEN });
    // As the terminal says: the secrets that it shows, in place of the made-up ones.
    const { exampleSecret, people } = demoAccess(app.config);
    example = JSON.parse(
      JSON.stringify(document)
        .replaceAll(EXAMPLE_SECRET, exampleSecret)
        .replaceAll(EXAMPLE_PASSWORD, people[0]!.password),
    ) as Document;
  });
  afterAll(() => app.stop());

  it.each(pressed.map(({ method, path }) => [method, path]))(
    'the example of %s %s works when it is tried, and is not empty',
    async (method, path) => {
      await startAfresh(app);
      const route = `${method} ${path}`;
      const { token, headers, replace = {} } = (await PREPARED[route]?.(app)) ?? {};
      const pressedDocument = replaced(example, replace);
      const { operation } = operationsOf(pressedDocument).find(
        (candidate) => candidate.method === method && candidate.path === path,
      )!;
      const answer = await app.request(method, urlOf({ method, path, operation }), {
        token: token ?? (await app.adminToken()),
        streamPatienceMs: PATIENCE_MS,
        ...contentOf(pressedDocument, operation, headers),
      });
      // With the body, so that a failure says why.
      expect(answer.status < 300 ? 'works' : [answer.status, answer.body]).toBe('works');
      if (method === 'GET' && !VERDICT_IN_HEADERS.test(path) && !NEEDS_A_DAY.test(path))
        expect(isEmpty(answer.body) ? ['is empty', answer.body] : 'shows something').toBe('shows something');
      if (MEANT[route] !== undefined) expect(answer.body).toMatchObject(MEANT[route]);
    },
  );

  it('the example of each filter is accepted', async () => {
    await startAfresh(app);
    const { token } = await asAdmin(app);
    const refused: unknown[] = [];
    let tried = 0;
    for (const { method, path, operation } of operationsOf(example)) {
      if (method !== 'GET' || /oidc|forward-auth|ext-authz|\/\{id\}/.test(path)) continue;
      const parameters = operation.parameters ?? [];
      // Without these no filter is looked at.
      const needed = parameters.filter((one) => one.in === 'query' && one.required === true);
      for (const { name, in: place, description = '' } of parameters) {
        const text = /Example: `([^`]+)`/.exec(description)?.[1];
        if (place !== 'query' || text === undefined || name === 'cursor') continue;
        tried += 1;
        const query = new URLSearchParams();
        for (const one of needed) query.set(one.name, String(one.example ?? one.schema?.['example']));
        query.set(name, text);
        const answer = await app.get(`${path.slice('/api/v1'.length)}?${query.toString()}`, { token });
        if (answer.status >= 300) refused.push([path, name, text, answer.body]);
      }
    }
    expect(refused).toEqual([]);
    expect(tried).toBeGreaterThan(30);
  });

  it('the key that the terminal shows is accepted by the client’s quick start', async () => {
    await startAfresh(app);
    const { exampleSecret, gatewaySecret } = demoAccess(app.config);
    const quickStart = (await examplesIn('clients/typescript/README.md')).get('quickstart.mjs')!;
    // From where the package is found.
    const args = [
      '--input-type=module',
      '--eval',
      quickStart.replace('process.argv[2]', JSON.stringify(exampleSecret)),
    ];
    const env = { LATCHKEY_URL: app.baseUrl, LATCHKEY_KEY: gatewaySecret };
    expect(await run(process.execPath, args, { cwd: ROOT, env })).toBe('Welcome, Chat client.\n');
  });

  it('an example of a user’s id is the id of a user', () => {
    const people = new Set<unknown>([DEMO.ownerId, DEMO.auditorId, DEMO.serviceId, DEMO.formerId]);
    const wrong: string[] = [];
    for (const [schema, { properties = {} }] of Object.entries(document.components.schemas)) {
      for (const [field, property] of Object.entries(properties as Record<string, { example?: unknown }>)) {
        const ids = /^(ownerId|managerIds|userId|transferTo|sub)$/.test(field) ? [property.example ?? []].flat() : [];
        if (ids.some((id) => !people.has(id))) wrong.push(`${schema}.${field}`);
      }
    }
    for (const { method, path, operation } of operationsOf(document)) {
      for (const { name, description = '' } of operation.parameters ?? []) {
        const text = /Example: `([^`]+)`/.exec(description)?.[1];
        // Keys of a project are transferred to a project.
        if (name === 'transferTo' && path.startsWith('/api/v1/projects')) continue;
        if (/^(ownerId|userId|transferTo)$/.test(name) && text !== undefined && !people.has(text))
          wrong.push(`${method} ${path}: ${name}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('what anybody can read has no secret or password that works', async () => {
    await startAfresh(app);
    const { people, exampleSecret, gatewaySecret } = demoAccess(app.config);
    const pages = await Promise.all(
      ['//docs-json', '//docs', '//docs/swagger-ui-init.js', '//console', '//health'].map((path) => app.get(path)),
    );
    expect(pages.map(({ status }) => status)).toEqual(pages.map(() => 200));
    const text = pages.map(({ body }) => (typeof body === 'string' ? body : JSON.stringify(body))).join('\n');
    expect(text).toContain(EXAMPLE_SECRET);
    for (const secret of [exampleSecret, gatewaySecret, ...people.map(({ password }) => password)])
      expect(text).not.toContain(secret);
    // Nor one that is only spelled so: the made-up secret opens nothing.
    expect((await app.get('/auth/me', { apiKey: EXAMPLE_SECRET })).status).toBe(401);
  });

  it('a second start adds nothing and changes nothing', async () => {
    await startAfresh(app);
    await app.dataSource.query(`UPDATE api_key SET name = 'renamed' WHERE name = 'Billing service'`);
    const before = await contents(app);
    await addDemoData(app.app, app.config);
    expect(await contents(app)).toEqual(before);
  });

  it('no row differs from what the trail says of it', async () => {
    const fresh = await TestApp.start();
    await addDemoData(fresh.app, fresh.config);
    const found: string[] = [];
    for await (const { differences } of compareTables(fresh.config, fresh.dataSource))
      found.push(...differences.map(describeDifference));
    await fresh.stop();
    expect(found).toEqual([]);
  });

  it('people can sign in, and keys have all there is to see', async () => {
    await startAfresh(app);
    for (const { email, password } of demoAccess(app.config).people)
      expect(await app.tokenOf(email, password)).toMatch(/^ey/);
    const rows = await app.dataSource.query<{ count: number }[]>(
      'SELECT count(*)::int AS count FROM audit_event WHERE action = $1',
      ['demo:add'],
    );
    expect(rows[0]!.count).toBeGreaterThanOrEqual(10);
  });

  it('no secret works in two installations', async () => {
    const other = await TestApp.start({ API_KEY_PEPPERS: '1:another-pepper-0123456789-abcdefghijkl' });
    expect(demoAccess(other.config).exampleSecret).not.toBe(demoAccess(app.config).exampleSecret);
    await other.stop();
  });
});

function urlOf({ path, operation }: NamedOperation): string {
  let url = path.startsWith('/api/v1') ? path.slice('/api/v1'.length) : `/${path}`;
  const query = new URLSearchParams();
  for (const { name, in: place, example, schema } of operation.parameters ?? []) {
    if (place === 'path') url = url.replace(`{${name}}`, String(example));
    // As Swagger UI fills it in, whether or not it is required.
    const filled: unknown = example ?? schema?.['example'] ?? schema?.['default'];
    if (place === 'query' && filled !== undefined)
      for (const one of [filled].flat()) query.append(name, `${one as string | number}`);
  }
  return query.size > 0 ? `${url}?${query.toString()}` : url;
}

function replaced(document: Document, texts: Readonly<Record<string, string>>): Document {
  let text = JSON.stringify(document);
  for (const [from, to] of Object.entries(texts)) text = text.replaceAll(from, to);
  return JSON.parse(text) as Document;
}

/** Whether a list has nothing: no entry in any of its arrays, no line below the head of its CSV. */
function isEmpty(body: unknown): boolean {
  if (typeof body === 'string') return body.trim().split('\n').length < 2 && !body.startsWith('{');
  const lists = Object.values(body as object).filter(Array.isArray);
  return Object.keys(body as object).length === 0 || (lists.length > 0 && lists.every((list) => list.length === 0));
}

/** The answer to a gateway is a status and headers. */
const VERDICT_IN_HEADERS = /^\/api\/v1\/(forward-auth|ext-authz)/;

/** There is no forecast of budgets that were made just now. */
const NEEDS_A_DAY = /\/usage\/budget-forecasts$/;

/** The body as it is sent, and its type. */
function contentOf(
  document: Document,
  operation: NamedOperation['operation'],
  headers: Readonly<Record<string, string>> = {},
): { body?: unknown; rawBody?: string; headers: Record<string, string> } {
  const form = operation.requestBody?.content['application/x-www-form-urlencoded'];
  if (form === undefined) return { body: bodyOf(document, operation), headers: { ...headers } };
  const rawBody = new URLSearchParams(form.example as Record<string, string>).toString();
  return { rawBody, headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' } };
}

/** As Swagger UI fills it in: the body's example, or the examples of its fields. */
function bodyOf(document: Document, operation: NamedOperation['operation']): unknown {
  const content = operation.requestBody?.content['application/json'];
  if (content === undefined || content.example !== undefined) return content?.example;
  const properties = (document.components.schemas[(content.schema['$ref'] as string).split('/').at(-1)!]![
    'properties'
  ] ?? {}) as Record<string, { example?: unknown }>;
  return Object.fromEntries(
    Object.entries(properties).flatMap(([name, { example }]) => (example === undefined ? [] : [[name, example]])),
  );
}

/** Nothing but the seeded roles, the admin and the demo data; what was audited stays. */
async function startAfresh(app: TestApp): Promise<void> {
  const owner = new Client({ connectionString: app.database.ownerUrl });
  await owner.connect();
  try {
    const { rows } = await owner.query<{ name: string }>(
      `SELECT quote_ident(c.relname) AS name FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
          AND c.relname IN ('users', 'role', 'api_key', 'usage_id', 'usage_event', 'usage_pending', 'usage_rollup_hour', 'verdict_minute', 'refused_call', 'quota_limit', 'project')`,
    );
    // What the server writes in the background may hold some of these and want others: PostgreSQL ends one of the two.
    await eventually(async () => {
      await owner.query(`TRUNCATE ${rows.map(({ name }) => name).join(', ')} CASCADE`);
    });
  } finally {
    await owner.end();
  }
  await seed(new Changes(app.dataSource, app.config), ADMIN, app.config);
  await addDemoData(app.app, app.config);
  // The keys of before had the same ids.
  await app.applied();
}

async function contents(app: TestApp): Promise<unknown> {
  // Reads and last uses are written a moment after their answers; neither is something that a start adds.
  const all = (table: string) =>
    app.dataSource.query<unknown[]>(`SELECT to_jsonb(t) - 'last_used_at' AS row FROM ${table} AS t ORDER BY 1`);
  const changes = app.dataSource.query<unknown[]>(
    `SELECT action, resource_id FROM audit_event WHERE outcome = 'success' AND action NOT LIKE '%:read' ORDER BY seq`,
  );
  return Promise.all([
    ...['users', 'user_role', 'user_manager', 'role', 'api_key', 'api_key_secret'].map(all),
    changes,
  ]);
}
