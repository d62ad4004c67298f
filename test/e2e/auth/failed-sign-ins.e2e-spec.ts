import { describe, expect, it } from '@jest/globals';
import { Writable } from 'node:stream';
import { createApp } from '../../../src/server/app.setup.js';
import { Changes } from '../../../src/audit/changes.js';
import { createLog } from '../../../src/common/log.js';
import { Metrics } from '../../../src/common/metrics.js';
import { INTERVAL_MS } from '../../../src/common/repeated-log.js';
import { dataSource } from '../../../src/database/data-source.js';
import { entities } from '../../../src/server/entities.js';
import { seed } from '../../../src/users/seed.js';
import { ADMIN, testConfig } from '../../support/app.js';
import { createTestDatabase } from '../../support/postgres.js';

const ROWS = `SELECT outcome, ip, resource_id, actor_kind, details FROM audit_event WHERE action = 'auth:login' ORDER BY ip`;

interface Row {
  outcome: string;
  ip: string | null;
  resource_id: string | null;
  actor_kind: string;
  details: { count: number; reasons: Record<string, number> };
}

describe('Failed sign-ins', () => {
  it('are counted rows in the trail, lines with the address in the log, and a metric', async () => {
    const database = await createTestDatabase();
    const pool = await dataSource(database.appUrl, { max: 10, entities }).initialize();
    const config = testConfig({ LOG_LEVEL: 'warn', TRUSTED_PROXIES: '127.0.0.1/32' });
    await seed(new Changes(pool, config), ADMIN, config);
    const lines: Record<string, unknown>[] = [];
    const stream = new Writable({
      write(chunk, _, done) {
        for (const line of String(chunk).trim().split('\n')) lines.push(JSON.parse(line) as Record<string, unknown>);
        done();
      },
    });
    const app = await createApp(config, pool, { log: createLog('warn', stream) });
    await app.listen(0, '127.0.0.1');
    const { port } = app.getHttpServer().address() as { port: number };
    const login = (email: string, ip: string) =>
      fetch(`http://127.0.0.1:${port}/api/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-forwarded-for': ip },
        body: JSON.stringify({ email, password: 'a secret that was mistyped' }),
      });
    const began = performance.now();
    for (let attempt = 0; attempt < 25; attempt += 1) await login(ADMIN.email, '198.51.100.7');
    for (let attempt = 0; attempt < 5; attempt += 1) await login('a-mistyped-secret@latchkey.test', '198.51.100.8');
    const intervals = 1 + Math.floor((performance.now() - began) / INTERVAL_MS);
    const metrics = await app.get(Metrics, { strict: false }).registry.metrics();
    const [admin] = await pool.query<{ id: string }[]>('SELECT id FROM users');
    await app.close();
    const rows = await pool.query<Row[]>(ROWS);
    await pool.destroy();
    await database.drop();

    expect(rows).toEqual([
      {
        outcome: 'refused',
        ip: '198.51.100.7',
        resource_id: admin!.id,
        actor_kind: 'anonymous',
        details: { code: 'SIGN_IN_FAILED', count: 25, reasons: { 'wrong-password': 20, throttled: 5 } },
      },
      {
        outcome: 'refused',
        ip: '198.51.100.8',
        resource_id: null,
        actor_kind: 'anonymous',
        details: { code: 'SIGN_IN_FAILED', count: 5, reasons: { 'wrong-password': 5 } },
      },
    ]);
    expect(metrics).toMatch(/^latchkey_sign_in_failures_total\{reason="wrong-password"\} 25$/m);
    expect(metrics).toMatch(/^latchkey_sign_in_failures_total\{reason="throttled"\} 5$/m);
    const told = lines.filter(({ msg }) => msg === 'A sign-in failed.');
    expect(told.find(({ reason }) => reason === 'wrong-password')).toMatchObject({
      clientIp: '198.51.100.7',
      requestId: expect.any(String),
      userId: admin!.id,
    });
    // A flood is counted: in each interval 20 lines of a reason, and one that says how many more there were.
    expect(told.length).toBeLessThanOrEqual(27 * intervals);
    expect(
      told
        .filter(({ reason }) => reason === 'wrong-password')
        .reduce((sum, { repeated }) => sum + Number(repeated ?? 1), 0),
    ).toBe(25);
    expect(JSON.stringify(lines)).not.toMatch(/mistyped/);
  });
});
