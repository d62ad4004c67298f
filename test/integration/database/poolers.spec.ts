import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { Client } from 'pg';
import type { Config } from '../../../src/config/config.js';
import { StartRefusal } from '../../../src/common/start-refusal.js';
import { examine } from '../../../src/health/doctor.js';
import { openDatabase, openForReading } from '../../../src/database/open-database.js';
import { TestApp, testConfig } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { hasPgBouncer, PgBouncer } from '../../support/pgbouncer.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const withPgBouncer = hasPgBouncer() ? describe : describe.skip;

const refusalOf = async (config: Config): Promise<string> => {
  const opened = await openDatabase(config, []).catch((error: unknown) => error as Error);
  if (!(opened instanceof Error)) {
    await opened.close();
    throw new Error('It was not refused.');
  }
  expect(opened).toBeInstanceOf(StartRefusal);
  return opened.message;
};

withPgBouncer('Through PgBouncer', () => {
  let database: TestDatabase;
  let bouncer: PgBouncer;
  /** Idle servers of a pool take turns here, and it lets pass what others refuse. */
  let roundRobin: PgBouncer;

  beforeAll(async () => {
    database = await createTestDatabase();
    const urls = [database.ownerUrl, database.appUrl];
    bouncer = await PgBouncer.start(urls, {
      plain: '',
      large: 'pool_size=64',
      small: 'pool_size=6',
      single: 'pool_size=1',
      transaction: 'pool_mode=transaction',
      transaction_of_one: 'pool_mode=transaction pool_size=1',
      statement: 'pool_mode=statement',
    });
    const transaction = 'pool_mode=transaction min_pool_size=6';
    roundRobin = await PgBouncer.start(
      urls,
      { transaction },
      {
        server_round_robin: '1',
        ignore_startup_parameters:
          'extra_float_digits,options,statement_timeout,idle_in_transaction_session_timeout,lock_timeout',
      },
    );
  });
  afterAll(async () => {
    await Promise.all([bouncer?.stop(), roundRobin?.stop()]);
    await database.drop();
  });

  const through = (alias: string, pooler = bouncer) =>
    testConfig({
      DATABASE_URL: pooler.url(database.appUrl, alias),
      DATABASE_MIGRATION_URL: pooler.url(database.ownerUrl, alias),
    });

  describe('with session pooling', () => {
    it('a start works with default settings, and says how many sessions it gets', async () => {
      const opened = await openDatabase(through('plain'), []);
      try {
        expect(opened.warnings).toEqual([
          'This replica uses up to 32 sessions of PostgreSQL, of which 20 are free (default_pool_size of the connection pooler): raise that, or expect 503 under load.',
        ]);
        expect(
          await opened.dataSource.query(`SELECT current_user AS role, current_setting('statement_timeout') AS timeout`),
        ).toEqual([{ role: 'latchkey_app', timeout: '6500ms' }]);
      } finally {
        await opened.close();
      }
    });

    it('a start says nothing where the pooler has enough', async () => {
      // Sessions of the test before count until the pooler has seen them end.
      await eventually(async () => {
        const opened = await openDatabase(through('large'), []);
        await opened.close();
        expect(opened.warnings).toEqual([]);
      }, 20_000);
    }, 30_000);

    it('a start is refused where it has too few', async () => {
      expect(await refusalOf(through('small'))).toMatch(
        /^A replica needs 10 to 32 sessions at 127\.0\.0\.1:\d+, of which \d are free \(default_pool_size of the connection pooler\): raise that, or end what holds them\.$/,
      );
    }, 20_000);

    it('a start is refused where it has one', async () => {
      expect(await refusalOf(through('single'))).toMatch(
        /^127\.0\.0\.1:\d+ gives one session and no second \(.*\) Raise the limits there: a replica uses up to 32\.$/,
      );
    }, 20_000);

    it('two replicas verify, meter and revoke, and a revoked key is refused by the other one', async () => {
      const pooled = { ...database, appUrl: bouncer.url(database.appUrl, 'large') };
      const one = await TestApp.start({}, pooled);
      const other = await TestApp.start({}, pooled);
      try {
        const token = await one.adminToken();
        for (let round = 0; round < 5; round += 1) {
          const { apiKey, secretKey } = (
            await one.post('/api-keys', { token, body: { budgetLimitCents: 100, rateLimitPerMinute: 100 } })
          ).body;
          const verdictOf = async (app: TestApp) =>
            (await app.post('/verify', { token, body: { key: secretKey } })).body.code;
          for (const app of [one, other, one, other]) expect(await verdictOf(app)).toBe('VALID');
          const usage = await other.post('/usage', {
            token,
            body: { events: [{ id: `event-${round}`, apiKeyId: apiKey.id, costCents: 5 }] },
          });
          expect(usage.status).toBe(200);
          expect((await one.post(`/api-keys/${apiKey.id}/revoke`, { token })).status).toBe(200);
          await eventually(async () => expect(await verdictOf(other)).toBe('REVOKED'));
        }
        expect(await (await fetch(`${one.baseUrl}/health/ready`)).json()).toMatchObject({ status: 'ok' });
      } finally {
        await other.stop();
        await one.stop();
      }
    }, 30_000);

    it('the doctor says that a pooler lies between', async () => {
      const config = through('large');
      const opened = await openForReading(config);
      try {
        // Sessions of the test before count until the pooler has seen them end.
        await eventually(async () => {
          const findings = await examine(config, opened.dataSource);
          expect(findings.filter(({ differences }) => differences.length > 0)).toEqual([]);
          expect(findings.find(({ check }) => check === 'a session keeps its role and settings')!.note).toBe(
            'through a connection pooler',
          );
        }, 20_000);
      } finally {
        await opened.close();
      }
    });
  });

  describe('that shares sessions between clients, a start is refused', () => {
    const SENTENCE =
      /^The connection pooler at 127\.0\.0\.1:\d+ shares sessions between its clients \(.+\): set pool_mode = session there, because Latchkey listens for changes, prepares statements and sets its role and time-outs once a session\.$/;

    it.each(['transaction', 'transaction_of_one', 'statement'])('%s', async (alias) => {
      for (let attempt = 0; attempt < 3; attempt += 1) expect(await refusalOf(through(alias))).toMatch(SENTENCE);
    });

    it('transaction, with idle servers that take turns and the usual parameters ignored', async () => {
      // Some idle servers first: then neither of two sessions meets the other's.
      await Promise.all(Array.from({ length: 6 }, () => refusalOf(through('transaction', roundRobin))));
      for (let attempt = 0; attempt < 5; attempt += 1)
        expect(await refusalOf(through('transaction', roundRobin))).toMatch(SENTENCE);
    });

    it('also where the migrations alone go through it, because their lock belongs to a session', async () => {
      expect(
        await refusalOf(
          testConfig({
            DATABASE_URL: database.appUrl,
            DATABASE_MIGRATION_URL: bouncer.url(database.ownerUrl, 'transaction'),
          }),
        ),
      ).toMatch(SENTENCE);
    });
  });

  describe('a start is refused in a sentence', () => {
    const refused = async (change: (url: URL) => void) => {
      const url = new URL(bouncer.url(database.appUrl, 'plain'));
      change(url);
      return refusalOf(testConfig({ DATABASE_URL: url.href, DATABASE_MIGRATION_URL: database.ownerUrl }));
    };

    it('for a password it does not know', async () => {
      expect(await refused((url) => (url.password = 'wrong'))).toMatch(
        /refuses the login latchkey_app|The login latchkey_app is refused/,
      );
    });

    it('for a database it does not have', async () => {
      expect(await refused((url) => (url.pathname = '/none'))).toMatch(
        /^There is no database none at 127\.0\.0\.1:\d+: /,
      );
    });

    it('for a startup parameter it does not take', async () => {
      expect(await refused((url) => (url.search = '?options=-c%20work_mem=8MB'))).toMatch(
        /^The connection pooler at 127\.0\.0\.1:\d+ refuses a setting \(unsupported startup parameter: options\): take options=… out of DATABASE_URL and PGOPTIONS out of the environment\.$/,
      );
    });

    it('for a PostgreSQL that is away behind it', async () => {
      const away = await PgBouncer.start(
        ['postgres://u:p@127.0.0.1:1/none', database.appUrl],
        { plain: '' },
        { server_connect_timeout: '1', server_login_retry: '1', query_wait_timeout: '2' },
      );
      try {
        const sentence = await refusalOf(
          testConfig({ DATABASE_URL: away.url(database.appUrl, 'plain'), DATABASE_MIGRATION_URL: database.ownerUrl }),
        );
        expect(sentence).toMatch(
          /^(The connection pooler at .* (cannot reach PostgreSQL|gives no session) \(.*\): |PostgreSQL at .* does not answer: )/,
        );
      } finally {
        await away.stop();
      }
    }, 20_000);
  });
});

describe('Through something that keeps sessions and loses what they', () => {
  let database: TestDatabase;
  let between: Server;
  /** What is replaced on the way to PostgreSQL, by something of the same length. */
  let replaced: readonly [string, string];

  beforeAll(async () => {
    database = await createTestDatabase();
    const { hostname, port } = new URL(database.ownerUrl);
    const changed = (chunk: Buffer) => Buffer.from(chunk.toString('latin1').replace(...replaced), 'latin1');
    between = createServer((client) => {
      const server = connect(Number(port), hostname);
      client
        .on('data', (chunk: Buffer) => server.write(changed(chunk)))
        .on('close', () => server.destroy())
        .on('error', () => undefined);
      server
        .on('data', (chunk) => client.write(chunk))
        .on('close', () => client.destroy())
        .on('error', () => undefined);
    }).listen(0, '127.0.0.1');
    await once(between, 'listening');
    const owner = new Client({ connectionString: database.ownerUrl });
    await owner.connect();
    // Where the default is what is set, it would make no difference.
    await owner
      .query(`ALTER DATABASE ${new URL(database.ownerUrl).pathname.slice(1)} SET TimeZone = 'Asia/Tokyo'`)
      .finally(() => owner.end());
  });
  afterAll(async () => {
    between.close();
    await database.drop();
  });

  const config = () => {
    const url = new URL(database.appUrl);
    url.port = String((between.address() as AddressInfo).port);
    return testConfig({ DATABASE_URL: url.href, DATABASE_MIGRATION_URL: database.ownerUrl });
  };

  it('set, a start is refused and told what was lost', async () => {
    // Local to a transaction is what does not last.
    replaced = [`'TimeZone', 'UTC', false`, `'TimeZone', 'UTC', true `];
    expect(await refusalOf(config())).toMatch(
      /^What lies at 127\.0\.0\.1:\d+ does not keep what a session sets \(TimeZone\): connect to PostgreSQL itself, or through a pooler with pool_mode = session\.$/,
    );
  });

  it('notify, a start says so', async () => {
    replaced = ['NOTIFY latchkey_start', 'NOTIFY latchkey_other'];
    const opened = await openDatabase(config(), []);
    await opened.close();
    expect(opened.warnings).toEqual([
      'Notices do not pass between sessions: replicas hear of changes by polling, up to half a second later.',
    ]);
  });
});
