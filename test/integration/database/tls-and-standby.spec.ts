import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { chown, copyFile, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AddressInfo, connect, createServer } from 'node:net';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { StartRefusal } from '../../../src/common/start-refusal.js';
import { LiveConnection } from '../../../src/database/live-connection.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/database/embedded-postgres.js';
import { openDatabase, openForReading } from '../../../src/database/open-database.js';
import { sessionConfigOf } from '../../../src/database/session-config.js';
import { examineProduction } from '../../../src/health/production-checklist.js';
import { testConfig } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { Authority, type Certificate, hasOpenssl } from '../../support/certificates.js';
import { createTestDirectory } from '../../support/postgres.js';
import { SECRETS } from '../start/started.js';

const SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };

/** A PostgreSQL of its own, whose certificate and pg_hba.conf a test changes while it runs. */
class OwnServer {
  private constructor(
    private readonly postgres: EmbeddedPostgres,
    private readonly dataDirectory: string,
    private readonly hba: string,
  ) {}

  static async start(dataDir: string): Promise<OwnServer> {
    const postgres = await startEmbeddedPostgres({ dataDir, settings: SETTINGS });
    const [found] = await execute(postgres.ownerUrl, `SELECT current_setting('data_directory') AS directory`);
    const directory = String(found!['directory']);
    return new OwnServer(postgres, directory, await readFile(join(directory, 'pg_hba.conf'), 'utf8'));
  }

  get ownerUrl(): string {
    return this.postgres.ownerUrl;
  }

  url(parameters: string, host = 'localhost'): string {
    const url = new URL(this.postgres.appUrl);
    url.hostname = host;
    url.search = parameters;
    return url.href;
  }

  get port(): string {
    return new URL(this.postgres.ownerUrl).port;
  }

  /** TLS with this certificate; clients prove themselves with one of `authority` where pg_hba.conf asks for it. */
  async show({ cert, key }: Certificate, authority: Authority): Promise<void> {
    const { uid, gid } = await stat(this.dataDirectory);
    const own = async (file: string, name: string) => {
      await copyFile(file, join(this.dataDirectory, name));
      await chown(join(this.dataDirectory, name), uid, gid);
    };
    await own(cert, 'server.crt');
    await own(key, 'server.key');
    await own(authority.file, 'root.crt');
    await execute(this.ownerUrl, `ALTER SYSTEM SET ssl_ca_file = 'root.crt'`);
    await execute(this.ownerUrl, 'ALTER SYSTEM SET ssl = on');
    await this.reload();
  }

  /** Lines before those that are there; none puts it back. */
  async admit(...lines: string[]): Promise<void> {
    await writeFile(join(this.dataDirectory, 'pg_hba.conf'), `${lines.join('\n')}\n${this.hba}`);
    await this.reload();
  }

  async becomeStandby(): Promise<void> {
    await writeFile(join(this.dataDirectory, 'standby.signal'), '');
  }

  stop(): Promise<void> {
    return this.postgres.stop();
  }

  private async reload(): Promise<void> {
    const loadedAt = async () =>
      String((await execute(this.ownerUrl, 'SELECT pg_conf_load_time()::text AS at'))[0]!['at']);
    const before = await loadedAt();
    await execute(this.ownerUrl, 'SELECT pg_reload_conf()');
    // The server reads its files when it gets to it; what is opened after that counts.
    await eventually(async () => expect(await loadedAt()).not.toBe(before));
  }
}

async function execute(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<Record<string, unknown>>(statement).finally(() => client.end());
  return rows;
}

const withOpenssl = hasOpenssl() ? describe : describe.skip;

withOpenssl('A PostgreSQL with TLS', () => {
  let dataDir: string;
  let server: OwnServer;
  let authority: Authority;
  let stranger: Authority;
  let good: Certificate;
  let expired: Certificate;
  let selfSigned: Certificate;
  let client: Certificate;

  beforeAll(async () => {
    dataDir = await createTestDirectory();
    const directory = await createTestDirectory();
    [authority, stranger] = await Promise.all([
      Authority.create(directory, 'authority'),
      Authority.create(directory, 'stranger'),
    ]);
    [good, expired, selfSigned, client] = await Promise.all([
      authority.issue('good', 'localhost'),
      authority.issue('expired', 'localhost', -1),
      authority.selfSigned('self', 'localhost'),
      authority.issue('client', 'latchkey_app'),
    ]);
    server = await OwnServer.start(join(dataDir, 'data'));
    const opened = await openDatabase(testConfig({ DATABASE_URL: server.ownerUrl }), []);
    await opened.close();
    await server.show(good, authority);
  }, 60_000);
  afterAll(async () => {
    await server?.stop();
  });

  const root = () => `sslrootcert=${encodeURIComponent(authority.file)}`;
  /** What the production checklist says to a server on another machine: its address is 127.0.0.2. */
  const checklistOf = async (parameters: string) => {
    const front = createServer((caller) => {
      const behind = connect({ host: '127.0.0.1', port: Number(server.port), localAddress: '127.0.0.2' });
      for (const end of [caller, behind]) end.on('error', () => undefined);
      caller.pipe(behind).pipe(caller);
    });
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
    const url = new URL(server.url(parameters));
    url.port = String((front.address() as AddressInfo).port);
    const config = testConfig({ DATABASE_URL: url.href });
    const opened = await openForReading(config);
    try {
      const secrets = { secretsInEnvironment: [], openSecretFiles: [] };
      const points = await examineProduction({ config, dataSource: opened.dataSource, ...secrets });
      return points.find(({ point }) => point === 'The connection to PostgreSQL is encrypted')!.action;
    } finally {
      await opened.close();
      front.close();
    }
  };

  /** Whether what was opened is encrypted, in the pool and beside it. */
  const encryptionOf = async (parameters: string, host = 'localhost', variables: Record<string, string> = {}) => {
    const opened = await openForReading(testConfig({ DATABASE_URL: server.url(parameters, host), ...variables }));
    const statement = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
    const beside = new LiveConnection(sessionConfigOf(opened.dataSource, 'test', 'single'));
    try {
      const rows = [
        ...(await opened.dataSource.query<{ ssl: boolean }[]>(statement)),
        ...(await beside.query<{ ssl: boolean }>({ text: statement }, 5_000)),
      ];
      return rows.map(({ ssl }) => ssl);
    } finally {
      await beside.close();
      await opened.close();
    }
  };
  const refusalOf = async (parameters: string, host?: string) => {
    const error = await encryptionOf(parameters, host).then(
      () => null,
      (error: unknown) => error as Error,
    );
    expect(error).toBeInstanceOf(StartRefusal);
    expect(error!.message).toMatch(/^[A-Z][^\n]+\.$/);
    return error!.message;
  };
  const place = (host = 'localhost') => `${host}:${server.port}`;

  it.each<[string, string, boolean]>([
    ['', 'localhost', false],
    ['sslmode=disable', '127.0.0.1', false],
    ['sslmode=require&ROOT', 'localhost', true],
    ['sslmode=prefer&ROOT', 'localhost', true],
    ['sslmode=verify-full&ROOT', 'localhost', true],
    ['sslmode=verify-ca&ROOT', '127.0.0.1', true],
    ['sslmode=no-verify', '127.0.0.1', true],
    ['ssl=no-verify', 'localhost', true],
    ['uselibpqcompat=true&sslmode=require', '127.0.0.1', true],
    ['uselibpqcompat=true&sslmode=require&ROOT', '127.0.0.1', true],
    ['sslmode=require&channel_binding=require&ROOT', 'localhost', true],
    ['sslmode=verify-full&sslnegotiation=direct&ROOT', 'localhost', true],
  ])('is spoken to as the URL says: %s at %s', async (parameters, host, isEncrypted) => {
    expect(await encryptionOf(parameters.replace('ROOT', root()), host)).toEqual([isEncrypted, isEncrypted]);
  });

  it('is in order for the production checklist where it is verified, and not where it is only encrypted', async () => {
    await server.admit('host all all 127.0.0.2/32 trust');
    expect(await checklistOf(`sslmode=verify-full&${root()}`)).toBeNull();
    expect(await checklistOf('sslmode=no-verify')).toContain('does not verify the server');
    expect(await checklistOf('sslmode=disable')).toContain('Add sslmode=verify-full');
    await server.admit();
  });

  it('is spoken to as PGSSLMODE says where the URL does not', async () => {
    expect(await encryptionOf('', 'localhost', { PGSSLMODE: 'verify-full', PGSSLROOTCERT: authority.file })).toEqual([
      true,
      true,
    ]);
    expect(await encryptionOf('sslmode=disable', 'localhost', { PGSSLMODE: 'verify-full' })).toEqual([false, false]);
  });

  it.each([
    'sslmode=require',
    'sslmode=prefer',
    'sslmode=allow',
    'sslmode=verify-ca',
    'sslmode=verify-full',
    'ssl=true',
  ])('whose authority is unknown is refused, and never spoken to in plain text: %s', async (parameters) => {
    expect(await refusalOf(parameters)).toBe(
      `The certificate of ${place()} is not signed by an authority this server trusts: in DATABASE_URL, name a file of its authority with ` +
        'sslrootcert=…, or write sslmode=no-verify to encrypt without verifying.',
    );
  });

  it('whose authority is another is refused', async () => {
    expect(await refusalOf(`sslmode=verify-ca&sslrootcert=${encodeURIComponent(stranger.file)}`)).toMatch(
      /is not signed by an authority this server trusts/,
    );
  });

  it('whose certificate is for another name is refused', async () => {
    expect(await refusalOf(`sslmode=verify-full&${root()}`, '127.0.0.1')).toBe(
      `The certificate of ${place('127.0.0.1')} is for another name than 127.0.0.1: in DATABASE_URL, write the name it is for, or sslmode=verify-ca ` +
        'with sslrootcert=… to verify the authority alone.',
    );
  });

  it('whose certificate has expired is refused', async () => {
    await server.show(expired, authority);
    expect(await refusalOf(`sslmode=verify-full&${root()}`)).toBe(
      `The certificate of ${place()} has expired: renew it there, and check the clocks of both machines.`,
    );
    await server.show(good, authority);
  });

  it('whose certificate is signed by itself is refused', async () => {
    await server.show(selfSigned, authority);
    expect(await refusalOf('sslmode=require')).toMatch(
      /^The certificate of localhost:\d+ is signed by itself: in DATABASE_URL, name a file/,
    );
    await server.show(good, authority);
  });

  it('that asks for a certificate is shown one, or the start is refused', async () => {
    await server.admit('hostssl all latchkey_app all cert');
    const shown = `sslcert=${encodeURIComponent(client.cert)}&sslkey=${encodeURIComponent(client.key)}`;
    expect(await encryptionOf(`sslmode=verify-full&${root()}&${shown}`)).toEqual([true, true]);
    expect(await refusalOf(`sslmode=verify-full&${root()}`)).toBe(
      `PostgreSQL at ${place()} asks for a certificate that it accepts for the login latchkey_app: name it with sslcert=… and sslkey=… in DATABASE_URL.`,
    );
    await server.admit();
  });

  it('that takes no plain connection says so', async () => {
    await server.admit('hostnossl all latchkey_app all reject');
    expect(await refusalOf('')).toBe(
      `PostgreSQL at ${place()} takes no connection without TLS from here: write sslmode=verify-full in DATABASE_URL, or admit plain ones (pg_hba.conf).`,
    );
    await server.admit();
  });

  it('that does not admit the login says so', async () => {
    await server.admit('host all latchkey_app all reject');
    expect(await refusalOf(`sslmode=verify-full&${root()}`)).toBe(
      `PostgreSQL at ${place()} does not admit the login latchkey_app to the database latchkey from here: add a line to its pg_hba.conf and reload it.`,
    );
    await server.admit();
  });

  it('is not spoken to with a file that cannot be read, or is no certificate', async () => {
    expect(await refusalOf('sslmode=verify-full&sslrootcert=/no/such.pem')).toBe(
      'The file /no/such.pem, which sslrootcert names for the database, cannot be read (ENOENT): correct the path or its permissions.',
    );
    expect(
      await refusalOf(`sslmode=verify-full&sslrootcert=${encodeURIComponent(authority.file.replace(/pem$/, 'key'))}`),
    ).toMatch(/is not a certificate in PEM form: replace it\.$/);
  });

  it('makes the driver write no warnings of its own', async () => {
    // In a process of its own: Node writes warnings to the standard error of the process, past Jest.
    const environment = {
      PATH: process.env['PATH'],
      ...SECRETS,
      DATABASE_URL: server.url(`sslmode=require&${root()}`),
    };
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      ['--import', './test/support/register-typescript.mjs', 'src/cli/doctor.ts'],
      { env: environment },
    );
    expect(stderr).toBe('');
    expect(stdout).toMatch(
      /^ok {4}PostgreSQL is one that can be worked on \(PostgreSQL [\d.]+ at localhost:\d+, TLSv1\.[23], login latchkey_app\)$/m,
    );
  }, 60_000);

  it('is refused as a standby, by a start and not by a command that reads', async () => {
    await server.becomeStandby();
    await server.stop();
    server = await OwnServer.start(join(dataDir, 'data'));
    const error = await openDatabase(testConfig({ DATABASE_URL: server.ownerUrl }), []).catch(
      (error: unknown) => error as Error,
    );
    expect(error).toBeInstanceOf(StartRefusal);
    expect((error as Error).message).toBe(
      `PostgreSQL at 127.0.0.1:${server.port} is a standby, which takes no writes: let DATABASE_URL name the primary (an address that follows it, ` +
        'or a pooler that does not send reads to standbys).',
    );
    const opened = await openForReading(testConfig({ DATABASE_URL: server.url('', '127.0.0.1') }));
    await opened.close();
  }, 60_000);
});
