import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Writable } from 'node:stream';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { DataSource } from 'typeorm';
import { pino } from 'pino';
import { createApp } from '../../../src/server/app.setup.js';
import { Changes } from '../../../src/audit/changes.js';
import { ChainVerifier } from '../../../src/audit/chain-verifier.js';
import { dataSource } from '../../../src/database/data-source.js';
import { entities } from '../../../src/server/entities.js';
import { seed } from '../../../src/users/seed.js';
import { ADMIN, testConfig } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const ID = 'order-4711.retry:2_a';
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

describe('the id that a client gives its request', () => {
  let database: TestDatabase;
  let pool: DataSource;
  const apps: NestFastifyApplication[] = [];
  const lines: { requestId?: string; clientRequestId?: string }[] = [];

  const start = async (settings: Record<string, string> = {}) => {
    const config = testConfig({ LOG_LEVEL: 'info', ...settings });
    const written = new Writable({
      write(chunk: Buffer, _encoding, done) {
        for (const line of chunk.toString().trim().split('\n')) lines.push(JSON.parse(line) as (typeof lines)[number]);
        done();
      },
    });
    const app = await createApp(config, pool, { log: pino({ level: 'info' }, written) });
    apps.push(app);
    await app.listen(0, '127.0.0.1');
    return `http://127.0.0.1:${(app.getHttpServer().address() as { port: number }).port}/api/v1`;
  };
  let direct: string;
  let behindProxy: string;
  let token: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    pool = await dataSource(database.appUrl, { max: 10, entities }).initialize();
    const config = testConfig();
    await seed(new Changes(pool, config), ADMIN, config);
    direct = await start();
    behindProxy = await start({ TRUSTED_PROXIES: '127.0.0.1' });
    const answer = await fetch(`${direct}/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: ADMIN.email, password: ADMIN.password }),
    });
    token = ((await answer.json()) as { accessToken: string }).accessToken;
  });
  afterAll(async () => {
    for (const app of apps) await app.close();
    await pool.destroy();
    await database.drop();
  });

  /** What the log says of a request, once it is written. */
  const lineOf = async (requestId: string) => {
    const find = () => lines.find((each) => each.requestId === requestId && 'route' in each);
    await eventually(() => expect(find()).toBeDefined());
    return find()!;
  };
  const createRole = async (headers: Record<string, string>) => {
    const name = `named-${Math.random().toString(36).slice(2)}`;
    const answer = await fetch(`${direct}/roles`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ name }),
    });
    const requestId = answer.headers.get('x-request-id')!;
    const [entry] = await pool.query<{ requestId: string; details: Record<string, unknown> }[]>(
      `SELECT request_id AS "requestId", details FROM audit_event WHERE action = 'roles:create' AND resource_id = $1`,
      [name],
    );
    return { requestId, entry: entry!, line: await lineOf(requestId) };
  };

  it.each([
    ['X-Request-Id', { 'x-request-id': ID }, ID],
    ['traceparent', { traceparent: TRACE }, TRACE],
    ['X-Request-Id before traceparent', { 'x-request-id': ID, traceparent: TRACE }, ID],
  ])('of a caller that is known is kept from %s, in the log and in the trail', async (_, headers, id) => {
    const { requestId, entry, line } = await createRole(headers);
    expect([entry.requestId, entry.details]).toEqual([requestId, { clientRequestId: id }]);
    expect(line.clientRequestId).toBe(id);
    // Ours stays ours.
    expect(requestId).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
  });

  it.each([
    ['too long', 'a'.repeat(65)],
    ['a space', 'a b'],
    ['a line break, encoded', 'a%0ab'],
    ['beyond ASCII', 'caf\u00e9'],
    ['a part of a key', `lk_live_${'4fT9aZq01LmXyB0'.repeat(3)}`],
  ])('is passed over for %s', async (_, id) => {
    const { entry, line } = await createRole({ 'x-request-id': id });
    expect([entry.details, line.clientRequestId]).toEqual([{}, undefined]);
  });

  it('is passed over from a stranger, and kept from a trusted proxy', async () => {
    for (const [base, expected] of [
      [direct, undefined],
      [behindProxy, ID],
    ] as const) {
      const answer = await fetch(`${base}/auth/me`, { headers: { 'x-request-id': ID } });
      expect(answer.status).toBe(401);
      expect((await lineOf(answer.headers.get('x-request-id')!)).clientRequestId).toBe(expected);
    }
  });

  it('is a part of what the chain signs', async () => {
    await createRole({ 'x-request-id': ID });
    const report = await apps[0]!.get(ChainVerifier, { strict: false }).verify();
    expect([report.ok, report.firstBroken]).toEqual([true, null]);
    const [row] = await pool.query<{ body: string }[]>(
      `SELECT body FROM audit_event WHERE details->>'clientRequestId' = $1 ORDER BY seq DESC LIMIT 1`,
      [ID],
    );
    expect(JSON.parse(row!.body)).toMatchObject({ details: { clientRequestId: ID } });
  });
});
