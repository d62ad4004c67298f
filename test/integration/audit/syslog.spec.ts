import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, connect as connectTcp, createServer } from 'node:net';
import { join } from 'node:path';
import { systemCaller } from '../../../src/access/caller.js';
import { Changes } from '../../../src/audit/changes.js';
import { AuditSyslog } from '../../../src/audit/syslog/audit-syslog.js';
import { tryReceiver } from '../../../src/audit/syslog/syslog-finding.js';
import { verifyCopy } from '../../../src/audit/verify-command.js';
import { Conditions } from '../../../src/common/conditions.js';
import { parseAuditSyslogUrl } from '../../../src/config/audit-syslog.js';
import { TestApp } from '../../support/app.js';
import { Authority, hasOpenssl } from '../../support/certificates.js';
import { eventually } from '../../support/eventually.js';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../support/postgres.js';
import { SyslogReceiver } from '../../support/syslog-receiver.js';
import { asOwner, trailRowsOnce } from '../../support/trail.js';

const PATIENCE_MS = 60_000;
/** Less than a connection may take to open, more than half of what the delivery has. */
const HANDSHAKE_MS = 2_700;
/** Entries that are sent at once to a receiver that is not slow. */
const MAX_ROWS = 500;

describe('AUDIT_SYSLOG_URL', () => {
  let database: TestDatabase;
  let directory: string;
  let receiver: SyslogReceiver;
  let replicas: TestApp[];

  beforeAll(async () => {
    database = await createTestDatabase();
    directory = await createTestDirectory();
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    receiver = await SyslogReceiver.start();
    replicas = [];
  });
  afterEach(async () => {
    for (const replica of replicas) await replica.stop();
    await receiver.stop();
  }, PATIENCE_MS);

  const start = async (url = `tcp://127.0.0.1:${receiver.port}`) => {
    const replica = await TestApp.start({ AUDIT_SYSLOG_URL: url }, database);
    replicas.push(replica);
    return replica;
  };
  const write = async (rows: number, text = 'test') => {
    // A process that stands still while it has the head of the trail loses its session, and nothing is made.
    await eventually(
      () =>
        replicas[0]!.app.get(Changes).transaction(systemCaller('test:write'), async ({ record }) => {
          for (let n = 0; n < rows; n += 1) record({ resourceType: text, resourceId: String(n) });
        }),
      PATIENCE_MS,
    );
  };
  const look = () => Promise.all(replicas.map(({ app }) => app.get(AuditSyslog).look()));
  const heads = async () => {
    const [row] = await replicas[0]!.dataSource.query<{ changes: string; reads: string }[]>(
      'SELECT c.seq AS changes, r.seq AS reads FROM change_head c, audit_read_head r',
    );
    return [Number(row!.changes), Number(row!.reads)];
  };
  const place = async () => {
    const [row] = await replicas[0]!.dataSource.query<{ changes: string; reads: string }[]>(
      'SELECT changes_seq AS changes, reads_seq AS reads FROM audit_syslog WHERE receiver = $1',
      [`127.0.0.1:${receiver.port}`],
    );
    return row === undefined ? [0, 0] : [Number(row.changes), Number(row.reads)];
  };
  const state = () => replicas[0]!.app.get(Conditions).check()['auditSyslog']!.status;
  /** Numbers of one chain in the order in which they came first; each repetition must say the same. */
  const seqsOf = (chain: string) => {
    const texts = new Map<number, string>();
    for (const { data, text } of receiver.messages.filter(({ data }) => data['chain'] === chain)) {
      const seq = Number(data['seq']);
      const event = JSON.parse(text) as { seq: string; hash: string };
      const isAsSaid = event.seq === data['seq'] && event.hash === data['hash'] && (texts.get(seq) ?? text) === text;
      if (!isAsSaid) throw new Error(`Not what its data or an earlier one says: ${JSON.stringify(data)} ${text}`);
      texts.set(seq, text);
    }
    return [...texts.keys()];
  };
  const upTo = (last: number) => Array.from({ length: last }, (_, n) => n + 1);
  /** Waits until the receiver has all there is, and holds it to be whole, in order, and a copy that can be checked. */
  const isWhole = async (patienceMs = PATIENCE_MS) => {
    await eventually(async () => {
      await look();
      const now = await heads();
      expect(await place()).toEqual(now);
      const came = ['changes', 'reads'].map(
        (chain) =>
          new Set(receiver.messages.filter(({ data }) => data['chain'] === chain).map(({ data }) => data['seq'])),
      );
      expect(came.map(({ size }) => size)).toEqual(now);
    }, patienceMs);
    const [changes, reads] = [seqsOf('changes'), seqsOf('reads')];
    expect([changes, reads]).toEqual([upTo(changes.length), upTo(reads.length)]);
    const file = join(directory, 'received.ndjson');
    await writeFile(file, receiver.messages.map(({ text }) => `${text}\n`).join(''));
    const { text, exitCode } = await verifyCopy(replicas[0]!.config, [file], null);
    expect([exitCode, text]).toEqual([0, expect.stringContaining('The copy is whole')]);
  };
  const isDegraded = () =>
    eventually(async () => {
      await look();
      expect(state()).toBe('degraded');
    }, PATIENCE_MS);

  it(
    'sends every entry of both chains in order, while two replicas send and one of them records',
    async () => {
      const first = await start();
      await start();
      const token = await first.adminToken();
      await first.get('/audit-events', { token });
      await trailRowsOnce(first, 1, `action = 'audit:read'`);
      for (let n = 0; n < 4; n += 1) await Promise.all([write(300, 'Grüße 😀 "quoted]'), look(), look()]);
      await isWhole();
      expect(seqsOf('reads').length).toBeGreaterThan(0);
      // Repetitions are for what is not known to have arrived.
      expect(receiver.messages.length).toBeLessThan(1.5 * (seqsOf('changes').length + seqsOf('reads').length));
      expect(receiver.messages[0]!.head).toMatch(
        /^<110>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ latchkey \d+ \S+$/,
      );
      await eventually(() => expect(state()).toBe('up'), PATIENCE_MS);
    },
    2 * PATIENCE_MS,
  );

  it(
    'goes on behind what a receiver has, also as another process; a new receiver gets all',
    async () => {
      await start();
      await write(5);
      await isWhole();
      const [changes] = await place();
      await replicas.pop()!.stop();
      receiver.messages.length = 0;
      await start();
      await write(1);
      await eventually(
        () => expect(receiver.messages.map(({ data }) => Number(data['seq']))).toContain(changes! + 1),
        PATIENCE_MS,
      );
      expect(Math.min(...seqsOf('changes'))).toBeGreaterThan(changes!);
      const other = await SyslogReceiver.start();
      try {
        await start(`tcp://127.0.0.1:${other.port}`);
        await eventually(() => expect(other.messages.length).toBeGreaterThan(changes!), PATIENCE_MS);
        expect(other.messages[0]!.data['seq']).toBe('1');
      } finally {
        await replicas.pop()!.stop();
        await other.stop();
      }
    },
    2 * PATIENCE_MS,
  );

  it(
    'sends again what a receiver had when it died, and counts nothing as taken by it',
    async () => {
      receiver.mode = 'die';
      await start();
      await write(50);
      await isDegraded();
      expect(receiver.messages.length).toBeGreaterThan(0);
      expect(await place()).toEqual([0, 0]);
      await receiver.stop();
      receiver.mode = 'take';
      await write(1);
      await isDegraded();
      await receiver.listen();
      await isWhole();
      await eventually(() => expect(state()).toBe('up'), PATIENCE_MS);
    },
    2 * PATIENCE_MS,
  );

  it.each(['silent', 'open'] as const)(
    'counts nothing as taken by a receiver that stays %s, and is degraded meanwhile',
    async (mode) => {
      receiver.mode = mode;
      await start();
      await write(3);
      await isDegraded();
      expect(await place()).toEqual([0, 0]);
      const before = performance.now();
      expect((await replicas[0]!.get('//health/live')).status).toBe(200);
      expect(performance.now() - before).toBeLessThan(PATIENCE_MS);
      await receiver.stop();
      receiver.mode = 'take';
      await receiver.listen();
      await isWhole();
    },
    2 * PATIENCE_MS,
  );

  it(
    'sends less at once to a receiver that is slow, until it has all',
    async () => {
      await start();
      await write(1_000, 'x'.repeat(100));
      await isWhole();
      await asOwner(database, (client) => client.query('DELETE FROM audit_syslog'));
      receiver.messages.length = 0;
      const before = receiver.connections;
      receiver.bytesPerSecond = 100_000;
      await isWhole(3 * PATIENCE_MS);
      // As many as it takes where each has the most entries that are sent at once, and more.
      const [changes, reads] = await heads();
      expect(receiver.connections - before).toBeGreaterThan(Math.ceil((changes! + reads!) / MAX_ROWS));
    },
    5 * PATIENCE_MS,
  );

  it(
    'says which entry is missing where the database ends before what a receiver has',
    async () => {
      await start();
      await write(1);
      await isWhole();
      const set = (change: string) =>
        asOwner(database, (client) => client.query(`UPDATE audit_syslog SET changes_seq = changes_seq ${change}`));
      await set('+ 1000000');
      await eventually(async () => {
        const { differences } = await tryReceiver(replicas[0]!.config.auditSyslog, replicas[0]!.dataSource);
        expect(differences).toEqual([expect.stringContaining('ends before entry')]);
      }, PATIENCE_MS);
      await isDegraded();
      await set('- 1000000');
      await isWhole();
      await eventually(() => expect(state()).toBe('up'), PATIENCE_MS);
    },
    4 * PATIENCE_MS,
  );

  it(
    'is tried by the doctor, that sends no entry',
    async () => {
      const { dataSource } = await start();
      await write(1);
      const other = await SyslogReceiver.start();
      const untaken = parseAuditSyslogUrl(`tcp://127.0.0.1:${other.port}`);
      expect(await tryReceiver(null, dataSource)).toEqual({ differences: [], note: 'AUDIT_SYSLOG_URL is not set' });
      const found = await tryReceiver(untaken, dataSource);
      expect(found).toEqual({ differences: [], note: expect.stringMatching(/^entries that it lacks: [1-9]\d*$/) });
      expect([other.connections, other.messages]).toEqual([1, []]);
      await other.stop();
      const { differences } = await tryReceiver(untaken, dataSource);
      expect(differences).toEqual([expect.stringMatching(/^127\.0\.0\.1:\d+ does not take the audit trail: .+\.$/)]);
    },
    PATIENCE_MS,
  );

  const withOpenssl = hasOpenssl() ? describe : describe.skip;
  withOpenssl('over TLS', () => {
    let authority: Authority;
    let stranger: Authority;
    let secured: SyslogReceiver;

    beforeAll(async () => {
      authority = await Authority.create(directory, 'syslog-ca');
      stranger = await Authority.create(directory, 'another-ca');
    });
    afterEach(() => secured.stop());

    it(
      'sends to one whose handshake takes nearly as long as it may',
      async () => {
        secured = await SyslogReceiver.start(await authority.issue('far', 'logs.test'));
        const { dataSource } = await start();
        const slow = createServer((socket) => {
          const on = connectTcp(secured.port, '127.0.0.1');
          for (const one of [socket, on]) one.on('error', () => undefined);
          setTimeout(() => socket.pipe(on).pipe(socket), HANDSHAKE_MS);
        }).listen(0, '127.0.0.1');
        try {
          await once(slow, 'listening');
          const { port } = slow.address() as AddressInfo;
          const far = parseAuditSyslogUrl(`tls://127.0.0.1:${port}?servername=logs.test&ca=${authority.file}`);
          await eventually(
            async () => expect((await tryReceiver(far, dataSource)).differences).toEqual([]),
            PATIENCE_MS,
          );
        } finally {
          slow.close();
        }
      },
      2 * PATIENCE_MS,
    );

    const url = (parameters: string) => `tls://127.0.0.1:${secured.port}?servername=logs.test&${parameters}`;

    it(
      'sends to a receiver with a certificate of its authority, and shows its own',
      async () => {
        const server = await authority.issue('logs', 'logs.test');
        const client = await authority.issue('latchkey', 'latchkey.test');
        secured = await SyslogReceiver.start(server, authority.file);
        const nameless = await tryReceiver(
          parseAuditSyslogUrl(url(`ca=${authority.file}`)),
          (await start()).dataSource,
        );
        expect(nameless.differences).toEqual([expect.stringContaining('does not take the audit trail')]);
        await receiver.stop();
        receiver = secured;
        await start(url(`ca=${authority.file}&cert=${client.cert}&key=${client.key}`));
        await write(3);
        await isWhole();
      },
      2 * PATIENCE_MS,
    );

    it(
      'sends nothing to one whose certificate is of another authority, another name, or no longer valid',
      async () => {
        const { dataSource } = await start();
        for (const certificate of [
          await stranger.issue('stranger', 'logs.test'),
          await authority.issue('elsewhere', 'elsewhere.test'),
          await authority.issue('old', 'logs.test', -1),
        ]) {
          secured = await SyslogReceiver.start(certificate);
          const { differences } = await tryReceiver(parseAuditSyslogUrl(url(`ca=${authority.file}`)), dataSource);
          expect(differences).toEqual([expect.stringContaining('does not take the audit trail')]);
          const replica = await start(url(`ca=${authority.file}`));
          await eventually(async () => {
            await replica.app.get(AuditSyslog).look();
            expect(replica.app.get(Conditions).check()['auditSyslog']!.status).toBe('degraded');
          }, PATIENCE_MS);
          await replicas.pop()!.stop();
          await secured.stop();
          expect(secured.messages).toEqual([]);
        }
      },
      3 * PATIENCE_MS,
    );
  });
});
