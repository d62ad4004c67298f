import { Changes } from '../../src/audit/changes.js';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { addDemoData, demoAccess } from '../../src/demo.js';
import { compareTables, describeDifference } from '../../src/integrity/table-comparison.js';
import { EXAMPLE_SECRET } from '../../src/openapi/examples.js';
import { seed } from '../../src/users/seed.js';
import { ADMIN, TestApp } from '../support/app.js';
import { type Document, type NamedOperation, checkedInDocument, operationsOf } from '../support/openapi.js';

/** Examples that cannot work as they are, each with the reason. */
const CANNOT_WORK: Record<string, string> = {
  'POST /api/v1/auth/login': 'the password is each installation’s own',
  'GET /api/v1/auth/oidc/login': 'leads a browser to an identity provider, and the demo has none',
  'GET /api/v1/auth/oidc/callback': 'as GET /api/v1/auth/oidc/login',
  'POST /api/v1/auth/second-factor': 'as POST /api/v1/auth/login',
  'POST /api/v1/auth/second-factor/confirm': 'a code of a secret that is just drawn',
  'POST /api/v1/auth/second-factor/recovery-codes': 'as POST /api/v1/auth/login',
  'POST /api/v1/auth/second-factor/remove': 'as POST /api/v1/auth/login',
  'DELETE /api/v1/users/{id}/second-factor': 'people of the demo have none',
  'GET /metrics': 'needs METRICS_TOKEN',
  'DELETE /api/v1/users/{id}/sessions/{sessionId}': 'a session is opened by a sign-in, and its id is new each time',
  'POST /api/v1/reservations/release': 'a reservation is made by a verify, and lives for minutes',
};

/** Operations whose caller is somebody else than an admin at Swagger UI: a proxy, a gateway. */
const NOT_FOR_PEOPLE = /^\/api\/v1\/(forward-auth|ext-authz|introspect)/;

const document = await checkedInDocument();
const pressed = operationsOf(document).filter(
  ({ method, path }) => !(`${method} ${path}` in CANNOT_WORK) && !NOT_FOR_PEOPLE.test(path),
);

describe('with --demo', () => {
  let app: TestApp;
  let example: Document;

  beforeAll(async () => {
    app = await TestApp.start();
    // As the terminal says: the key that it shows, in place of the made-up one.
    example = JSON.parse(
      JSON.stringify(document).replaceAll(EXAMPLE_SECRET, demoAccess(app.config).exampleSecret),
    ) as Document;
  });
  afterAll(() => app.stop());

  it.each(pressed.map(({ method, path }) => [method, path]))(
    'the example of %s %s works when it is tried',
    async (method, path) => {
      await startAfresh(app);
      const { operation } = operationsOf(example).find(
        (candidate) => candidate.method === method && candidate.path === path,
      )!;
      const answer = await app.request(method, urlOf({ method: method, path: path, operation }), {
        token: await app.adminToken(),
        body: bodyOf(example, operation),
      });
      // With the body, so that a failure says why.
      expect(answer.status < 300 ? 'works' : [answer.status, answer.body]).toBe('works');
    },
  );

  it('the example of a verify is accepted, and not only answered', async () => {
    await startAfresh(app);
    const operation = example.paths['/api/v1/verify']!['post']!;
    const { body } = await app.post('/verify', { token: await app.adminToken(), body: bodyOf(example, operation) });
    expect(body).toMatchObject({ valid: true, code: 'VALID' });
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
  for (const { name, in: place, required, example } of operation.parameters ?? []) {
    if (place === 'path') url = url.replace(`{${name}}`, String(example));
    else if (place === 'query' && required) query.append(name, String(example));
  }
  return query.size > 0 ? `${url}?${query.toString()}` : url;
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
          AND c.relname IN ('users', 'role', 'api_key')`,
    );
    await owner.query(`TRUNCATE ${rows.map(({ name }) => name).join(', ')} CASCADE`);
  } finally {
    await owner.end();
  }
  await seed(new Changes(app.dataSource, app.config), ADMIN, app.config);
  await addDemoData(app.app, app.config);
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
