import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { Metrics } from '../../../src/common/metrics.js';
import { Readiness } from '../../../src/health/readiness.js';
import { eventually } from '../../support/eventually.js';
import { type Bytes, CLOSE, Way, request } from '../../support/two-ways.js';

const SLOW_MACHINE_MS = 30_000;
const KIB = 1024;

/** A body of a verify with as many bytes. */
const padded = (key: string, bytes: number): string => {
  const text = JSON.stringify({ key });
  return text + ' '.repeat(bytes - text.length);
};

/** What the short cut answers itself. */
const PLAIN: Record<string, Bytes> = {
  'a byte order mark': ({ service }) => request('/verify', service.secret, '\ufeff{"key":"a"}', [CLOSE]),
  'a verify': ({ service, good }) => request('/verify', service.secret, { key: good.secret }, [CLOSE]),
  'a verify of a revoked key': ({ service, revoked }) =>
    request('/verify', service.secret, { key: revoked.secret }, [CLOSE]),
  'a verify of no key': ({ service }) => request('/verify', service.secret, { key: 'garbage' }, [CLOSE]),
  'a verify with everything': ({ service, limited }) =>
    request(
      '/verify',
      service.secret,
      { key: limited.secret, model: 'gpt-4o', ip: '10.0.0.1', cost: 2, explain: true, scopes: [], chatbot: null },
      [CLOSE],
    ),
  'a verify that changes nothing': ({ service, limited }) =>
    request('/verify', service.secret, { key: limited.secret, model: 'gpt-4o', dryRun: true }, [CLOSE]),
  'a verify with a reservation': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret, reserveCents: 1 }, [CLOSE]),
  'a content type with a character set': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, ['Content-Type: application/json; charset=utf-8', CLOSE]),
  'a bearer key': ({ service, good }) =>
    request('/verify', '', { key: good.secret }, [`Authorization: Bearer ${service.secret}`, CLOSE]),
  'a caller key for this address': ({ local, good }) => request('/verify', local.secret, { key: good.secret }, [CLOSE]),
  'a batch': ({ service, good, revoked }) =>
    request('/verify/batch', service.secret, { items: [{ key: good.secret }, { key: revoked.secret }, {}, null] }, [
      CLOSE,
    ]),
  'a report': ({ service, good }) =>
    request('/usage', service.secret, { events: [{ id: 'a', apiKeyId: good.id, costCents: 0.5 }] }, [CLOSE]),
  'a report with events that are wrong: 400 with a receipt': ({ service, good }) =>
    request('/usage', service.secret, { events: [{ id: 'b', apiKeyId: good.id }, { id: 7 }] }, [CLOSE]),
  'a report of other content: 409 with a receipt': ({ service, good }) =>
    request('/usage', service.secret, { events: [{ id: 'a', apiKeyId: good.id, costCents: 9 }] }, [CLOSE]),
  'a report that is no list: 400': ({ service }) => request('/usage', service.secret, { events: 1 }, [CLOSE]),
  'a body of 64 KiB': ({ service, good }) => request('/verify', service.secret, padded(good.secret, 64 * KIB), [CLOSE]),
  'a report of 300 KiB': ({ service, good }) => {
    const body = JSON.stringify({ events: [{ id: 'c', apiKeyId: good.id }] });
    return request('/usage', service.secret, body + ' '.repeat(300 * KIB), [CLOSE]);
  },
  '200 header lines': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, [
      ...Array.from({ length: 195 }, (_, n) => `X-${n}: x`),
      CLOSE,
    ]),
  'headers that name a client, a user and a gateway': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, [
      'X-Forwarded-For: 203.0.113.7',
      'Forwarded: for=203.0.113.7',
      'X-Real-IP: 203.0.113.7',
      'X-Forwarded-User: admin',
      'X-Latchkey-Gateway-Key: nobody',
      'Cookie: latchkey_session=x',
      CLOSE,
    ]),
  'an answer that keeps its connection, and one after it': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }) +
    request('/verify', service.secret, { key: 'garbage' }, [CLOSE]),
};

const chunkedBody = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;

/** What the ordinary route answers, whichever setting there is. */
const HANDED_OVER: Record<string, Bytes> = {
  'a chunked body': ({ service, good }) =>
    request('/verify', service.secret, chunkedBody(JSON.stringify({ key: good.secret })), [
      'Transfer-Encoding: chunked',
      CLOSE,
    ]),
  'Expect: 100-continue': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, ['Expect: 100-continue', CLOSE]),
  'another Expect': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, ['Expect: a miracle', CLOSE]),
  'HTTP/1.0': ({ service, good }) => request('/verify', service.secret, { key: good.secret }, [], '1.0'),
  'HTTP/1.0 that keeps its connection, for a while': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, ['Connection: keep-alive'], '1.0') +
    request('/verify', service.secret, { key: good.secret }, [], '1.0'),
  HEAD: ({ service }) => request('/verify', service.secret, '', [CLOSE]).replace('POST', 'HEAD'),
  GET: ({ service }) => request('/verify', service.secret, '', [CLOSE]).replace('POST', 'GET'),
  PUT: ({ service, good }) => request('/verify', service.secret, { key: good.secret }, [CLOSE]).replace('POST', 'PUT'),
  OPTIONS: ({ service }) => request('/verify', service.secret, '', [CLOSE]).replace('POST', 'OPTIONS'),
  'a query': ({ service, good }) => request('/verify?x=1', service.secret, { key: good.secret }, [CLOSE]),
  'a slash at the end': ({ service, good }) => request('/verify/', service.secret, { key: good.secret }, [CLOSE]),
  'a path in capitals': ({ service, good }) => request('/VERIFY', service.secret, { key: good.secret }, [CLOSE]),
  'a path that is encoded': ({ service, good }) => request('/%76erify', service.secret, { key: good.secret }, [CLOSE]),
  'an absolute target': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, [CLOSE]).replace(' /api', ' http://test/api'),
  'a body of 64 KiB and one byte': ({ service, good }) =>
    request('/verify', service.secret, padded(good.secret, 64 * KIB + 1), [CLOSE]),
  'a report of 1 MiB and one byte': ({ service }) =>
    request('/usage', service.secret, '{}', [`Content-Length: ${KIB * KIB + 1}`, CLOSE]),
  '201 header lines': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, [
      ...Array.from({ length: 196 }, (_, n) => `X-${n}: x`),
      CLOSE,
    ]),
  'two Host': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, ['Host: a', 'Host: b', CLOSE]),
  gzip: ({ service, good }) => {
    const body = gzipSync(JSON.stringify({ key: good.secret }));
    const head = request('/verify', service.secret, '', [
      'Content-Encoding: gzip',
      `Content-Length: ${body.length}`,
      CLOSE,
    ]);
    return Buffer.concat([Buffer.from(head), body]);
  },
  'a caller key for other addresses': ({ elsewhere, good }) =>
    request('/verify', elsewhere.secret, { key: good.secret }, [CLOSE]),
  'a caller key for other addresses that names one': ({ elsewhere, good }) =>
    request('/verify', elsewhere.secret, { key: good.secret }, ['X-Forwarded-For: 203.0.113.7', CLOSE]),
  'a caller without the permission': ({ powerless, good }) =>
    request('/verify', powerless.secret, { key: good.secret }, [CLOSE]),
  'a report without the permission': ({ powerless, good }) =>
    request('/usage', powerless.secret, { events: [{ id: 'd', apiKeyId: good.id }] }, [CLOSE]),
  'no credential': ({ good }) => request('/verify', '', { key: good.secret }, [CLOSE]),
  'no credential, and a body that is wrong': () => request('/verify', '', '{', [CLOSE]),
  'two credentials': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, [`Authorization: Bearer ${service.secret}`, CLOSE]),
  'the same credential twice': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, [`X-API-Key: ${service.secret}`, CLOSE]),
  'an unknown credential': ({ good }) => request('/verify', `${good.secret}x`, { key: good.secret }, [CLOSE]),
  'a revoked credential': ({ revoked, good }) => request('/verify', revoked.secret, { key: good.secret }, [CLOSE]),
  'a bearer token': ({ good }) => request('/verify', '', { key: good.secret }, ['Authorization: Bearer a.b.c', CLOSE]),
  Basic: ({ good }) => request('/verify', '', { key: good.secret }, ['Authorization: Basic YTpi', CLOSE]),
  'no body': ({ service }) => request('/verify', service.secret, '', [CLOSE]),
  'no length': ({ service }) =>
    request('/verify', service.secret, '', ['Content-Length: ', CLOSE]).replace('Content-Length: \r\n', ''),
  'a body that is no JSON': ({ service }) => request('/verify', service.secret, '{"key":', [CLOSE]),
  'a name twice': ({ service }) => request('/verify', service.secret, '{"key":"a","key":"b"}', [CLOSE]),
  'a prototype': ({ service }) => request('/verify', service.secret, '{"key":"a","__proto__":{}}', [CLOSE]),
  NUL: ({ service }) => request('/verify', service.secret, '{"key":"a\\u0000"}', [CLOSE]),
  'no UTF-8': ({ service }) =>
    Buffer.from(request('/verify', service.secret, '', ['Content-Length: 11', CLOSE]) + '{"key":"\xff"}', 'latin1'),
  'deep nesting': ({ service }) => request('/verify', service.secret, `${'['.repeat(40)}${']'.repeat(40)}`, [CLOSE]),
  null: ({ service }) => request('/verify', service.secret, 'null', [CLOSE]),
  'wrong fields': ({ service }) => request('/verify', service.secret, { key: 7, colour: 'red' }, [CLOSE]),
  'a batch that is no list': ({ service }) => request('/verify/batch', service.secret, { items: 1 }, [CLOSE]),
  'another content type': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, ['Content-Type: text/plain', CLOSE]),
  'a content type in capitals': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, ['Content-Type: APPLICATION/JSON', CLOSE]),
  'a content type that is none': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, ['Content-Type: json', CLOSE]),
  'two lengths': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, ['Content-Length: 5', 'Content-Length: 6', CLOSE]),
  'a length that is none': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, ['Content-Length: +5', CLOSE]),
  'a length and chunks': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, [
      'Content-Length: 5',
      'Transfer-Encoding: chunked',
      CLOSE,
    ]),
  'an upgrade': ({ service, good }) =>
    request('/verify', service.secret, { key: good.secret }, ['Connection: upgrade, close', 'Upgrade: websocket']),
  'the release of a reservation': ({ service }) =>
    request('/reservations/release', service.secret, { reservationId: 'x' }, [CLOSE]),
};

describe('With the short cut and without it, the same bytes come back for', () => {
  let on: Way;
  let off: Way;
  beforeAll(async () => {
    [on, off] = [await Way.start('on'), await Way.start('off')];
  });
  afterAll(async () => {
    await on.app.stop();
    await off.app.stop();
  });

  const compare = async (bytes: Bytes): Promise<string> => {
    const answer = await on.answerTo(bytes);
    expect(answer).toBe(await off.answerTo(bytes));
    return answer;
  };

  describe('what the short cut answers:', () => {
    it.each(Object.entries(PLAIN))('%s', async (_, bytes) => {
      // What it does not know in memory yet, or any more, is handed over.
      await eventually(async () => {
        const before = await on.answered();
        expect(await compare(bytes)).toMatch(/^HTTP\/1\.1 /);
        expect(await on.answered()).toBeGreaterThan(before);
      }, SLOW_MACHINE_MS);
    });
  });

  describe('what it hands over:', () => {
    it.each(Object.entries(HANDED_OVER))('%s', async (_, bytes) => {
      const before = await on.answered();
      expect(await compare(bytes)).toMatch(/^HTTP\/1\.1 /);
      expect(await on.answered()).toBe(before);
    });
  });

  it('requests that are sent ahead, in their order, whichever way each goes', async () => {
    const bytes: Bytes = ({ service, good, revoked }) =>
      [
        request('/usage', service.secret, { events: [{ id: 'ahead', apiKeyId: good.id }] }),
        request('/verify', service.secret, { key: good.secret }),
        request('/verify', service.secret, { key: 7 }),
        request('/verify', service.secret, { key: revoked.secret }),
        request('/nowhere', service.secret, {}),
        request('/verify/batch', service.secret, { items: [{ key: 'garbage' }] }, [CLOSE]),
      ].join('');
    const statuses = [...(await compare(bytes)).matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status);
    expect(statuses).toEqual(['200', '200', '400', '200', '404', '200']);
  });

  it('a body that comes in parts', async () => {
    const before = await on.answered();
    const answers = [];
    for (const way of [on, off]) {
      const whole = request('/verify', way.keys.service.secret, { key: way.keys.good.secret }, [CLOSE]);
      const at = whole.length - 20;
      const rest = async (write: (bytes: string) => void) => {
        for (const part of [whole.slice(at, at + 7), whole.slice(at + 7)]) {
          await sleep(20);
          write(part);
        }
      };
      answers.push(await way.answerTo(() => whole.slice(0, at), rest));
    }
    expect(answers[0]).toMatch(/"code":"VALID"/);
    expect(answers[0]).toBe(answers[1]);
    expect(await on.answered()).toBe(before + 1);
  });

  it('nothing, where a client leaves in the middle of its body: no place is kept', async () => {
    for (const way of [on, off]) {
      const whole = request('/verify', way.keys.service.secret, { key: way.keys.good.secret });
      const socket = connect(way.port, '127.0.0.1');
      socket.on('error', () => undefined);
      await new Promise<void>((resolve) => void socket.write(whole.slice(0, -5), () => resolve()));
      await sleep(20);
      socket.resetAndDestroy();
      await eventually(async () => {
        const text = await way.app.app.get(Metrics).registry.metrics();
        expect(text).toMatch(/^latchkey_requests_in_flight\{class="verify"\} 0$/m);
      }, SLOW_MACHINE_MS);
    }
    await compare(PLAIN['a verify']!);
  });

  // The last one: a replica that drains does so for good.
  it('a replica that drains, and a request that began before', async () => {
    const answers = [];
    for (const way of [on, off]) {
      const whole = request('/verify', way.keys.service.secret, { key: way.keys.good.secret });
      const rest = async (write: (bytes: string) => void) => {
        await sleep(50);
        way.app.app.get(Readiness).startDraining();
        write(whole.slice(-5));
      };
      answers.push(await way.answerTo(() => whole.slice(0, -5), rest));
    }
    expect(answers[0]).toMatch(/\r\nconnection: close\r\n/i);
    expect(answers[0]).toBe(answers[1]);
    const before = await on.answered();
    expect(await compare(({ service, good }) => request('/verify', service.secret, { key: good.secret }))).toMatch(
      /\r\nconnection: close\r\n/i,
    );
    expect(await on.answered()).toBe(before);
  });
});

describe('A body that does not come whole in time', () => {
  it.each(['on', 'off'] as const)('is 408, with FAST_PATH=%s', async (fastPath) => {
    const way = await Way.start(fastPath, { requestTimeoutMs: 1_000 });
    try {
      const bytes: Bytes = ({ service, good }) => request('/verify', service.secret, { key: good.secret }).slice(0, -5);
      expect(await way.answerTo(bytes)).toMatch(/^HTTP\/1\.1 408 [^]*"code":"REQUEST_TIMEOUT"/);
      expect(await way.answerTo(PLAIN['a verify']!)).toMatch(/"code":"VALID"/);
    } finally {
      await way.app.stop();
    }
  });
});
