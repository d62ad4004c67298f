import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AccessRecheck } from '../../../src/access/access-recheck.js';
import { AuditStream } from '../../../src/audit/copies/audit-stream.js';
import { verifyCopy } from '../../../src/audit/verify-command.js';
import { Metrics } from '../../../src/common/metrics.js';
import { Readiness } from '../../../src/health/readiness.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { createTestDirectory } from '../../support/postgres.js';
import { asOwner, trailRowsOnce } from '../../support/trail.js';

/** Lines of these are more than the buffers of a connection take. */
const MANY = 100_000;

interface Line {
  seq: string;
  action: string;
  chain?: string;
}

/** A caller that reads a stream, and can leave. */
class Reader {
  text = '';
  isOver = false;
  failure: unknown = null;
  private readonly leaving = new AbortController();

  constructor(
    readonly status: number,
    readonly headers: Headers,
    body: ReadableStream<Uint8Array>,
    leaving: AbortController,
  ) {
    this.leaving = leaving;
    void this.read(body);
  }

  static async open(app: TestApp, query: string, token: string): Promise<Reader> {
    const leaving = new AbortController();
    const headers = { authorization: `Bearer ${token}` };
    const url = `${app.baseUrl}/api/v1/audit-events/stream${query}`;
    const response = await fetch(url, { headers, signal: leaving.signal });
    return new Reader(response.status, response.headers, response.body!, leaving);
  }

  get lines(): Line[] {
    return this.text
      .slice(0, this.text.lastIndexOf('\n') + 1)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
  }

  /** Waits until the stream has `count` lines. */
  async has(count: number): Promise<Line[]> {
    await eventually(() => expect(this.lines.length).toBeGreaterThanOrEqual(count));
    return this.lines;
  }

  leave(): void {
    this.leaving.abort();
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of body) this.text += decoder.decode(chunk, { stream: true });
    } catch (error) {
      this.failure = error;
    }
    this.isOver = true;
  }
}

describe('GET /audit-events/stream', () => {
  let app: TestApp;
  let admin: string;
  let auditor: string;

  const head = async () => {
    const [row] = await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head');
    return Number(row!.seq);
  };
  const measured = async (name: string) =>
    Number(new RegExp(`^latchkey_${name} (\\d+)$`, 'm').exec(await app.app.get(Metrics).registry.metrics())![1]);
  const open = () => measured('audit_streams_open');

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    for (let n = 0; n < 3; n += 1)
      await app.post('/api-keys', { token: admin, body: { metadata: { place: 'ünïcode 😀', n: String(n) } } });
    auditor = (await app.addUser(['auditor'])).token;
  });
  // What a test has left is closed a moment later, and would count in the next one.
  afterEach(() => eventually(async () => expect(await open()).toBe(0)));
  afterAll(() => app.stop());

  describe('200', () => {
    it('gives what is there, and then each event as it is recorded', async () => {
      const before = await head();
      const reader = await Reader.open(app, '', auditor);
      expect([reader.status, reader.headers.get('content-type')]).toEqual([200, 'application/x-ndjson; charset=utf-8']);
      await reader.has(before);
      await app.post('/api-keys', { token: admin });
      await eventually(() => expect(reader.lines.length).toBeGreaterThan(before));
      const { lines } = reader;
      expect(lines.map(({ seq }) => Number(seq))).toEqual(Array.from({ length: lines.length }, (_, n) => n + 1));
      expect(lines.at(-1)!.action).toBe('api-keys:create');
      reader.leave();
    });

    it('goes on behind the event that the caller has, with every event of many writers once', async () => {
      const from = await head();
      const first = await Reader.open(app, `?after=${from}`, auditor);
      const writing = Array.from({ length: 8 }, async () => {
        for (let n = 0; n < 10; n += 1) expect((await app.post('/api-keys', { token: admin })).status).toBe(201);
      });
      const half = await first.has(20);
      first.leave();
      const last = half.at(-1)!.seq;
      const second = await Reader.open(app, `?after=${last}`, auditor);
      await Promise.all(writing);
      const upTo = await head();
      const rest = await second.has(upTo - Number(last));
      expect([...half, ...rest].map(({ seq }) => Number(seq))).toEqual(
        Array.from({ length: upTo - from }, (_, n) => from + n + 1),
      );
      second.leave();
    });

    it('is a copy that audit:verify finds whole, and broken where a line was changed or is missing', async () => {
      expect((await app.get('/audit-events/export', { token: auditor })).status).toBe(200);
      await trailRowsOnce(app, 1, `action = 'audit:export'`);
      const changes = await Reader.open(app, '', auditor);
      const reads = await Reader.open(app, '?chain=reads', auditor);
      await Promise.all([changes.has(await head()), reads.has(1)]);
      changes.leave();
      reads.leave();
      const directory = await createTestDirectory();
      const check = async (text: string) => {
        await writeFile(join(directory, 'copy'), text);
        return verifyCopy(app.config, [join(directory, 'copy')], null);
      };
      const [own, ofReads] = [changes.lines, reads.lines].map((lines) => lines.map((line) => JSON.stringify(line)));
      const whole = await check([...own!, ...ofReads!, ''].join('\n'));
      expect(whole).toEqual({
        text: `The copy is whole: ${own!.length} entries, ${ofReads!.length} reads, 0 checkpoints.`,
        exitCode: 0,
      });
      expect(ofReads!.length).toBeGreaterThan(0);
      // A sink that was ended between its write and its note sends a batch again; a line may be cut short.
      const again = await check([...own!, '{"id":"01', ...own!.slice(-3), ''].join('\n'));
      expect(again.text).toMatch(/whole:.*\n.*repeat an earlier one: 3\.\n.*cut short: 1\./);
      const late = await check(own!.slice(2).join('\n'));
      expect(late.text).toContain('It begins with entry 3, which is believed as it is.');
      const edited = own!.map((line, n) => (n === 2 ? line.replace('roles:create', 'roles:delete') : line));
      expect(edited).not.toEqual(own);
      expect(await check(edited.join('\n'))).toMatchObject({ exitCode: 1, text: expect.stringContaining('seq 3:') });
      const gap = await check(own!.filter((_, n) => n !== 3).join('\n'));
      expect(gap).toMatchObject({ exitCode: 1, text: expect.stringContaining('seq 4: This entry is missing.') });
      const twice = await check([...own!, edited[2]!].join('\n'));
      expect(twice).toMatchObject({
        exitCode: 1,
        text: expect.stringContaining('seq 3: The copy has this entry twice'),
      });
    });

    it('is whole with a person who was renamed and erased, also where lines of before and after repeat', async () => {
      const email = 'copied@example.test';
      const body = { email, name: 'Grace Copied', kind: 'person', password: 'a password of the copied', roles: [] };
      const { id } = (await app.post('/users', { token: admin, body })).body;
      expect((await app.request('PATCH', `/users/${id}`, { token: admin, body: { name: 'Grace' } })).status).toBe(200);
      const exported = async () => {
        const response = await fetch(`${app.baseUrl}/api/v1/audit-events/export`, {
          headers: { authorization: `Bearer ${auditor}` },
        });
        return response.text();
      };
      const before = await exported();
      expect((await app.post(`/users/${id}/erase`, { token: admin, body: { confirm: email } })).status).toBe(204);
      const after = await exported();
      expect([before.includes(email), after.includes(email)]).toEqual([true, false]);
      const file = join(await createTestDirectory(), 'copy');
      for (const text of [before, after, before + after]) {
        await writeFile(file, text);
        const checked = await verifyCopy(app.config, [file], null);
        expect(checked).toEqual({ exitCode: 0, text: expect.stringContaining('The copy is whole') });
      }
    });

    it('ends when the caller may read no longer', async () => {
      const user = await app.addUser(['auditor']);
      const reader = await Reader.open(app, '', user.token);
      await reader.has(await head());
      expect((await app.put(`/users/${user.id}/roles`, { token: admin, body: { roles: ['user'] } })).status).toBe(200);
      await eventually(() => expect(reader.isOver).toBe(true));
      expect((await app.get('/audit-events/stream', { token: user.token })).status).toBe(403);
    });

    it('is no use of the session', async () => {
      const user = await app.addUser(['auditor']);
      const at = async () => {
        const [row] = await app.dataSource.query<{ at: Date }[]>(
          'SELECT last_active_at AS at FROM session WHERE user_id = $1',
          [user.id],
        );
        return row!.at.getTime();
      };
      const reader = await Reader.open(app, '', user.token);
      await reader.has(1);
      await app.dataSource.query(
        `UPDATE session SET last_active_at = last_active_at - interval '2 minutes' WHERE user_id = $1`,
        [user.id],
      );
      const before = await at();
      // The third look lies behind two of them at the rights of the caller.
      const asked = jest.spyOn(app.app.get(AccessRecheck, { strict: false }), 'mayStill');
      await eventually(() => expect(asked.mock.calls.length).toBeGreaterThanOrEqual(3));
      asked.mockRestore();
      expect([await at(), reader.isOver]).toEqual([before, false]);
      reader.leave();
    });

    it('keeps nothing open after a HEAD', async () => {
      const before = await open();
      expect((await app.request('HEAD', '/audit-events/stream', { token: auditor })).status).toBe(200);
      await eventually(async () => expect(await open()).toBe(before));
    });
  });

  describe('400', () => {
    it('says where the trail ends to a caller that is further', async () => {
      const { status, body } = await app.get(`/audit-events/stream?after=9999999999999999999`, { token: auditor });
      expect([status, body.errors[0].path, body.errors[0].message]).toEqual([
        400,
        'after',
        expect.stringContaining(`must be ${await head()} or less`),
      ]);
    });

    it('leaves nothing behind of a caller that was refused', async () => {
      let asked = 0;
      const mayStill = () => Promise.resolve((asked += 1) > 0);
      const reader = { principalId: 'one', mayStill, left: new AbortController().signal };
      const begin = app.app
        .get(AuditStream, { strict: false })
        .begin({ table: 'audit_event', after: '9999999' }, reader);
      await expect(begin).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
      // More than two rounds of the look at what a caller may do.
      await sleep(2_500);
      expect(asked).toBe(0);
    });

    it('takes no filter', async () => {
      const { status, body } = await app.get('/audit-events/stream?after=x&action=a:b', { token: auditor });
      expect([status, body.errors.map((error: { path: string }) => error.path).sort()]).toEqual([
        400,
        ['action', 'after'],
      ]);
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.get('/audit-events/stream')).status).toBe(401);
    });
  });

  describe('403', () => {
    it('needs the permission to export', async () => {
      await app.addRole('trail-reader', ['platform:audit:read']);
      const reader = await app.addUser(['trail-reader']);
      const { status, body } = await app.get('/audit-events/stream', { token: reader.token });
      expect([status, body.permission]).toEqual([403, 'platform:audit:export']);
    });
  });

  describe('429', () => {
    it('refuses a principal more than four streams, until one has ended', async () => {
      const { token } = await app.addUser(['auditor']);
      const begin = async () => Reader.open(app, `?after=${await head()}`, token);
      const readers = await Promise.all([begin(), begin(), begin(), begin()]);
      const { status, body } = await app.get('/audit-events/stream', { token });
      expect([status, body.detail]).toEqual([429, expect.stringContaining('You have 4 streams')]);
      const others = await Reader.open(app, `?after=${await head()}`, admin);
      expect(others.status).toBe(200);
      readers.pop()!.leave();
      await eventually(async () => {
        readers.push(await begin());
        expect(readers.at(-1)!.status).toBe(200);
      });
      for (const reader of [...readers, others]) reader.leave();
    });
  });

  describe('503', () => {
    it('refuses more streams than a replica has places for', async () => {
      const before = await open();
      const readers: Reader[] = [];
      while (readers.length < 32 - before) {
        const { token } = await app.addUser(['auditor']);
        const places = Math.min(4, 32 - before - readers.length);
        for (let n = 0; n < places; n += 1) readers.push(await Reader.open(app, `?after=${await head()}`, token));
      }
      const { status, body } = await app.get('/audit-events/stream', { token: admin });
      expect([status, body.detail]).toEqual([503, expect.stringContaining('32 streams of the audit trail')]);
      for (const reader of readers) reader.leave();
      await eventually(async () => expect(await open()).toBe(before));
    });
  });

  describe('200, as the last', () => {
    const sent = () => measured('audit_stream_events_total');
    /** A caller that takes no more than the buffers of its connection do, which are full. */
    const stalled = async (token: string) => {
      const before = await sent();
      const socket = connect(Number(new URL(app.baseUrl).port), '127.0.0.1').on('error', () => undefined);
      socket.pause();
      socket.write(
        `GET /api/v1/audit-events/stream?after=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
      );
      await eventually(async () => expect(await sent()).toBeGreaterThan(before));
      // Nothing more is read once the buffers of the connection are full.
      let last = -1;
      await eventually(async () => {
        const now = await sent();
        const isStill = now === last;
        last = now;
        if (!isStill) await sleep(3_000);
        expect(isStill).toBe(true);
      }, 60_000);
      expect(last - before).toBeLessThan(MANY);
      return socket;
    };

    it('reads no further for a caller that takes nothing, and forgets the caller when it has left', async () => {
      await asOwner(app.database, async (client) => {
        await client.query(
          `WITH head AS (UPDATE change_head SET seq = seq + ${MANY} RETURNING seq - ${MANY} AS seq)
           INSERT INTO audit_event SELECT head.seq + n, gen_random_uuid(), now(), 'system', NULL, NULL, 'a:b', 'c', NULL, 'success', NULL, NULL, '[]', '{}',
             '{}', sha256('x') FROM head, generate_series(1, ${MANY}) n`,
        );
        await client.query('ANALYZE audit_event');
      });
      const before = await open();
      const socket = await stalled(auditor);
      socket.destroy();
      await eventually(async () => expect(await open()).toBe(before));
    });

    it('ends for a caller that takes nothing when that caller may read no longer', async () => {
      const before = await open();
      const user = await app.addUser(['auditor']);
      const socket = await stalled(user.token);
      try {
        expect((await app.put(`/users/${user.id}/roles`, { token: admin, body: { roles: ['user'] } })).status).toBe(
          200,
        );
        await eventually(async () => expect(await open()).toBe(before));
      } finally {
        socket.destroy();
      }
    });

    it('ends, whole to the last line, when the server drains; a caller that takes nothing is cut off', async () => {
      const socket = await stalled(admin);
      const reader = await Reader.open(app, `?after=${await head()}`, auditor);
      await app.post('/api-keys', { token: admin });
      await reader.has(1);
      app.app.get(Readiness, { strict: false }).startDraining();
      await eventually(() => expect(reader.isOver).toBe(true));
      expect([reader.failure, reader.text.endsWith('\n')]).toEqual([null, true]);
      await eventually(async () => expect(await open()).toBe(0));
      socket.destroy();
    });
  });
});
