import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { Client } from 'pg';
import { StartRefusal } from '../../../src/common/start-refusal.js';
import type { Config } from '../../../src/config/config.js';
import { openDatabase, openForReading } from '../../../src/database/open-database.js';
import { testConfig } from '../../support/app.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const PASSWORD = 'a-Passw0rd-of-a-test';

/** The sentence a start or a command ends with; it is one, and shows no password. */
async function sentenceOf(work: Promise<{ close(): Promise<void> }>): Promise<string> {
  const opened = await work.catch((error: unknown) => error as Error);
  if (!(opened instanceof Error)) {
    await opened.close();
    throw new Error('It was not refused.');
  }
  expect(opened).toBeInstanceOf(StartRefusal);
  expect(opened.message).toMatch(/^[A-Z][^\n]+\.$/);
  expect(opened.message).not.toContain(PASSWORD);
  return opened.message;
}

describe('A PostgreSQL that cannot be worked with', () => {
  const suffix = randomBytes(4).toString('hex');
  const login = `login_${suffix}`;
  const other = `other_${suffix}`;
  let database: TestDatabase;
  let name: string;
  let owner: Client;
  let silent: Server;
  let stranger: Server;

  const as = (user: string, password = PASSWORD, changes: (url: URL) => void = () => undefined) => {
    const url = new URL(database.ownerUrl);
    url.username = user;
    url.password = password;
    changes(url);
    return url.href;
  };
  const configOf = (url: string, migrationUrl?: string): Config =>
    testConfig({ DATABASE_URL: url, ...(migrationUrl === undefined ? {} : { DATABASE_MIGRATION_URL: migrationUrl }) });
  const refusedStart = (url: string, migrationUrl?: string) =>
    sentenceOf(openDatabase(configOf(url, migrationUrl), []));
  const refusedCommand = (url: string) => sentenceOf(openForReading(configOf(url)));
  const place = () => `${new URL(database.ownerUrl).hostname}:${new URL(database.ownerUrl).port}`;

  beforeAll(async () => {
    database = await createTestDatabase();
    name = new URL(database.ownerUrl).pathname.slice(1);
    owner = new Client({ connectionString: database.ownerUrl });
    await owner.connect();
    await owner.query(`CREATE ROLE ${login} LOGIN PASSWORD '${PASSWORD}'`);
    await owner.query(`CREATE ROLE ${other} LOGIN PASSWORD '${PASSWORD}' CONNECTION LIMIT 5`);
    silent = createServer(() => undefined).listen(0, '127.0.0.1');
    stranger = createServer((socket) =>
      socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    ).listen(0, '127.0.0.1');
  });
  afterAll(async () => {
    silent.close();
    stranger.close();
    await owner.query(`DROP OWNED BY ${login}, ${other}`);
    await owner.query(`DROP ROLE ${login}, ${other}`);
    await owner.end();
    await database.drop();
  });

  describe('is refused in one sentence, by a start and by a command that reads', () => {
    it.each<[string, () => string, () => string]>([
      [
        'another password',
        () => as(login, 'wrong'),
        () =>
          `PostgreSQL at ${place()} refuses the login ${login} with this password: correct login and password in DATABASE_URL.`,
      ],
      [
        'a login that does not exist',
        () => as('nobody_here'),
        () =>
          `PostgreSQL at ${place()} refuses the login nobody_here with this password: correct login and password in DATABASE_URL.`,
      ],
      [
        'no password',
        () => as(login, ''),
        () =>
          `PostgreSQL at ${place()} asks for a password for the login ${login}, and DATABASE_URL has none: add it (postgres://${login}:password@…).`,
      ],
      [
        'a database that does not exist',
        () => as(login, PASSWORD, (url) => (url.pathname = '/none')),
        () =>
          `There is no database none at ${place()}: create it (CREATE DATABASE), or correct its name in DATABASE_URL.`,
      ],
      [
        'a host name that does not exist',
        () => `postgres://${login}:${PASSWORD}@no-such-host.invalid/keys`,
        () => 'The host name no-such-host.invalid is unknown: correct it in DATABASE_URL, or add it to DNS.',
      ],
      [
        'a port nothing listens on',
        () => `postgres://${login}:${PASSWORD}@127.0.0.1:1/keys`,
        () => 'Nothing listens at 127.0.0.1:1: start PostgreSQL there, or correct the address in DATABASE_URL.',
      ],
      [
        'an IPv6 port nothing listens on',
        () => `postgres://${login}:${PASSWORD}@[::1]:1/keys`,
        () => 'Nothing listens at [::1]:1: start PostgreSQL there, or correct the address in DATABASE_URL.',
      ],
      [
        'a socket that is not there',
        () => `postgres://${login}:${PASSWORD}@%2Fno%2Fsuch%2Fdirectory/keys`,
        () =>
          'There is no PostgreSQL at the socket /no/such/directory/.s.PGSQL.5432: start it, or correct the address in DATABASE_URL.',
      ],
      [
        'TLS where the server has none',
        () => as(login, PASSWORD, (url) => (url.search = '?sslmode=require')),
        () =>
          `PostgreSQL at ${place()} offers no TLS: turn it on there, or write sslmode=disable in DATABASE_URL to send passwords and data in the clear.`,
      ],
      [
        'a setting that does not exist',
        () => as(login, PASSWORD, (url) => (url.search = '?options=-c%20no_such=1')),
        () =>
          `No session can be opened at ${place()} (unrecognized configuration parameter "no_such"): check that DATABASE_URL names a PostgreSQL 15 or newer.`,
      ],
      [
        'a port another protocol is spoken on',
        () => `postgres://${login}:${PASSWORD}@127.0.0.1:${portOf(stranger)}/keys?sslmode=require`,
        () =>
          `What listens at 127.0.0.1:${portOf(stranger)} does not speak PostgreSQL: correct the address in DATABASE_URL.`,
      ],
    ])('%s', async (_, url, sentence) => {
      expect(await refusedStart(url())).toBe(sentence());
      expect(await refusedCommand(url())).toBe(sentence());
    });

    it('a server that does not answer', async () => {
      expect(await refusedCommand(`postgres://${login}:${PASSWORD}@127.0.0.1:${portOf(silent)}/keys`)).toBe(
        `PostgreSQL at 127.0.0.1:${portOf(silent)} does not answer: correct the address in DATABASE_URL, or let the network and its firewalls pass it.`,
      );
    }, 15_000);

    it('a database this login may not connect to', async () => {
      await owner.query(`REVOKE CONNECT ON DATABASE ${name} FROM public`);
      expect(await refusedStart(as(login))).toContain(`GRANT CONNECT ON DATABASE ${name} TO ${login}.`);
      await owner.query(`GRANT CONNECT ON DATABASE ${name} TO public`);
    });
  });

  it('names the variable whose connection it is', async () => {
    expect(await refusedStart(database.appUrl, as(login, 'wrong'))).toContain('in DATABASE_MIGRATION_URL.');
    expect(await refusedStart(as(login, 'wrong'), database.ownerUrl)).toContain('in DATABASE_URL.');
  });

  describe('by what it is:', () => {
    // One database beside the migrated one, which each test leaves as it was: to make and drop one takes seconds.
    const empty = `refused_${suffix}`;
    const there = (user = new URL(database.ownerUrl).username, password = new URL(database.ownerUrl).password) =>
      as(user, password, (url) => (url.pathname = `/${empty}`));
    const execute = async (statements: string, url = there()) => {
      const client = new Client({ connectionString: url });
      await client.connect();
      await client.query(statements).finally(() => client.end());
    };

    beforeAll(() => owner.query(`CREATE DATABASE ${empty} TEMPLATE template0`));
    afterAll(() => owner.query(`DROP DATABASE ${empty} WITH (FORCE)`));

    it('a database in another encoding', async () => {
      await owner.query(
        `CREATE DATABASE ascii_${suffix} ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0`,
      );
      try {
        const url = as(
          new URL(database.ownerUrl).username,
          new URL(database.ownerUrl).password,
          (there) => (there.pathname = `/ascii_${suffix}`),
        );
        expect(await refusedStart(url)).toMatch(
          /is encoded in SQL_ASCII: create one with ENCODING 'UTF8' TEMPLATE template0\.$/,
        );
      } finally {
        await owner.query(`DROP DATABASE ascii_${suffix} WITH (FORCE)`);
      }
    });

    it('a database that is read-only by default', async () => {
      await execute(`ALTER DATABASE ${empty} SET default_transaction_read_only = on`);
      expect(await refusedStart(there())).toMatch(
        /^Every transaction of .* is read-only \(default_transaction_read_only is on; .*: make room, or reset it\.$/,
      );
      await owner.query(`ALTER DATABASE ${empty} RESET default_transaction_read_only`);
    });

    it('an older release', async () => {
      // The server says of itself that it is one.
      await execute(`CREATE SCHEMA older; CREATE FUNCTION older.current_setting(name text) RETURNS text LANGUAGE sql AS
        $$ SELECT CASE name WHEN 'server_version_num' THEN '140011' WHEN 'server_version' THEN '14.11' ELSE pg_catalog.current_setting(name) END $$;
        ALTER DATABASE ${empty} SET search_path = older, pg_catalog, public`);
      expect(await refusedStart(there())).toBe(`PostgreSQL at ${place()} is version 14.11: upgrade it to 15 or newer.`);
      await execute(`DROP SCHEMA older CASCADE; ALTER DATABASE ${empty} RESET search_path`);
    });

    it('an empty database, for a login that may make no tables', async () => {
      expect(await refusedStart(there(login, PASSWORD))).toBe(
        `The login ${login} of DATABASE_URL may not create tables in the schema public of the database ${empty}: set DATABASE_MIGRATION_URL ` +
          `to the login that owns the database (postgres://owner:password@…/${empty}), or GRANT CREATE ON SCHEMA public TO ${login}.`,
      );
      const app = new URL(database.appUrl);
      const sentence = await refusedStart(there(app.username, app.password));
      expect(sentence).toMatch(
        /^The login latchkey_app of DATABASE_URL may not create tables .*: set DATABASE_MIGRATION_URL to the login that owns/,
      );
      expect(sentence).not.toContain('GRANT');
    });

    it('a database no server has started on, for a command that reads', async () => {
      expect(await refusedCommand(there())).toMatch(
        /has no tables of Latchkey: start the server once, or let DATABASE_URL and DATABASE_MIGRATION_URL name the same database\.$/,
      );
    });

    it('two URLs that name different databases', async () => {
      expect(await refusedStart(there(), database.ownerUrl)).toMatch(/has no tables of Latchkey:/);
    });

    it('tables that belong to another login, with migrations to be done', async () => {
      await owner.query(`CREATE TEMP TABLE kept AS SELECT * FROM schema_migration ORDER BY id DESC LIMIT 1`);
      await owner.query('DELETE FROM schema_migration WHERE id IN (SELECT id FROM kept)');
      try {
        const who = new URL(database.ownerUrl).username;
        expect(await refusedStart(database.appUrl)).toBe(
          `The login latchkey_app of DATABASE_URL may not alter the tables of the database ${name}, which belong to ${who}: set ` +
            `DATABASE_MIGRATION_URL to that login (postgres://${who}:password@…/${name}).`,
        );
      } finally {
        await owner.query('INSERT INTO schema_migration SELECT * FROM kept');
        await owner.query('DROP TABLE kept');
      }
    });

    it('a login that may not use the tables', async () => {
      expect(await refusedStart(as(login), database.ownerUrl)).toBe(
        `The role ${login}, as which DATABASE_URL works, may not use the tables of Latchkey in the database ${name}: log in as latchkey_app, or GRANT latchkey_app TO ${login}.`,
      );
    });

    it('too few sessions for a replica', async () => {
      await owner.query(`GRANT latchkey_app TO ${other}`);
      // The limit counts those that are there: two of this check are open beside the one that counts.
      expect(await refusedStart(as(other), database.ownerUrl)).toMatch(
        new RegExp(
          `^A replica needs 10 to 32 sessions at ${place()}, of which [345] are free \\(CONNECTION LIMIT 5 of the login ${other}\\): raise that, or end what holds them\\.$`,
        ),
      );
    });
  });

  it('is waited for where it may come: a start begins as soon as it is there', async () => {
    const said: string[] = [];
    await owner.query(`ALTER DATABASE ${name} CONNECTION LIMIT 0`);
    await owner.query(`GRANT latchkey_app TO ${login}`);
    const opening = openDatabase(configOf(as(login), database.ownerUrl), [], {
      maxWaitMs: 60_000,
      log: (sentence) => said.push(sentence),
    });
    while (said.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    await owner.query(`ALTER DATABASE ${name} CONNECTION LIMIT -1`);
    const opened = await opening;
    // The first attempt itself may take more than a second.
    expect(said[0]).toMatch(/has no free session for login_.*\. Trying again for (?:60|5\d) s\.$/);
    expect(opened.warnings).toEqual([]);
    await opened.close();
  });

  it('is given up in the same sentence when the time is over', async () => {
    const said: string[] = [];
    const patience = { maxWaitMs: 700, log: (sentence: string) => said.push(sentence) };
    const started = performance.now();
    const sentence = await sentenceOf(
      openDatabase(configOf(`postgres://${login}:${PASSWORD}@127.0.0.1:1/keys`), [], patience),
    );
    expect(said).toEqual([`${sentence} Trying again for 1 s.`]);
    expect(performance.now() - started).toBeGreaterThan(690);
  });
});

describe('As what the application works', () => {
  const suffix = randomBytes(4).toString('hex');
  const member = `member_${suffix}`;
  const outsider = `outsider_${suffix}`;
  let database: TestDatabase;
  let owner: Client;

  beforeAll(async () => {
    database = await createTestDatabase();
    owner = new Client({ connectionString: database.ownerUrl });
    await owner.connect();
    await owner.query(
      `CREATE ROLE ${member} LOGIN PASSWORD '${PASSWORD}' IN ROLE latchkey_app; CREATE ROLE ${outsider} LOGIN PASSWORD '${PASSWORD}'`,
    );
    await owner.query(`GRANT ALL ON ALL TABLES IN SCHEMA public TO ${outsider}`);
  });
  afterAll(async () => {
    await owner.query(`DROP OWNED BY ${member}, ${outsider}; DROP ROLE ${member}, ${outsider}`);
    await owner.end();
    await database.drop();
  });

  it.each<[string, () => string, RegExp | null, string]>([
    ['the role itself', () => database.appUrl, null, 'latchkey_app'],
    ['a login that becomes it', () => loginUrl(member), null, 'latchkey_app'],
    ['a superuser that becomes it', () => database.ownerUrl, null, 'latchkey_app'],
    [
      'a login that may not',
      () => loginUrl(outsider),
      /^The role latchkey_app exists, but the login outsider_\w+ may not become it: trigger and hash chain alone protect the audit trail\. GRANT latchkey_app TO outsider_\w+, or log in as latchkey_app\.$/,
      outsider,
    ],
  ])('is said as it is: %s', async (_, url, warning, role) => {
    const opened = await openDatabase(
      testConfig({ DATABASE_URL: url(), DATABASE_MIGRATION_URL: database.ownerUrl }),
      [],
    );
    try {
      expect(opened.warnings).toEqual(warning === null ? [] : [expect.stringMatching(warning)]);
      expect(await opened.dataSource.query('SELECT current_user AS role')).toEqual([{ role }]);
    } finally {
      await opened.close();
    }
  });

  const loginUrl = (user: string) => {
    const url = new URL(database.ownerUrl);
    url.username = user;
    url.password = PASSWORD;
    return url.href;
  };
});

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
