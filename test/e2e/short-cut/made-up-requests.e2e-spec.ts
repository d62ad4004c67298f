import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Random } from '../../proofs/harness/random.js';
import { type Bytes, CLOSE, KEY_NAMES, Way, request } from '../../support/two-ways.js';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000_000);
/** Of a run in CI. The full size is 20 000. */
const REQUESTS = Number(process.env['SHORT_CUT_REQUESTS'] ?? 6_000);
const AT_THE_SAME_TIME = 16;
const MOST_AHEAD = 40;

type Fields = Record<string, unknown>;

const PATHS = ['/verify', '/verify', '/verify', '/verify/batch', '/usage'] as const;
const OTHER_PATHS = ['/verify/', '/verify?x=1', '/Verify', '/usage//', '/verify/batch/x', '/reservations/release'];
const TYPES = [
  'application/json; charset=utf-8',
  'application/json;charset=UTF-8',
  'Application/json',
  'application/json; charset=latin1',
  'text/plain',
  'json',
];
const LINES = [
  'X-Forwarded-For: 203.0.113.7',
  'X-Forwarded-For: 203.0.113.7, 10.0.0.1',
  'X-Request-Id: mine',
  'Accept: text/html',
  'Accept-Encoding: gzip',
  'Cookie: a=b; latchkey_session=x',
  'Origin: http://elsewhere.test',
  'Content-Encoding: gzip',
  'Content-Encoding: identity',
  'Host: test',
  'Idempotency-Key: x',
  'X-Latchkey-Gateway-Key: x',
];
const VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1,
  1.5,
  1e21,
  '',
  'a',
  'é😀',
  'gpt-4o',
  '10.0.0.1',
  'x'.repeat(600),
  [],
  ['a'],
  ['a', 1],
  {},
  { key: 'x' },
];
const QUESTION = ['key', 'ip', 'model', 'chatbot', 'scopes', 'cost', 'dryRun', 'explain', 'colour', '__proto__'];
const EVENT = ['id', 'apiKeyId', 'requests', 'inputTokens', 'costCents', 'model', 'endpoint', 'statusCode', 'colour'];
const SPOILT = ['{', '', 'null', '[]', '"x"', '{"key":"a","key":"a"}', '{"key":"\\u0000"}', '[[[[[[]]]]]]', '\ufeff{}'];

/**
 * Keys that callers present. What lacks a permission is recorded before it is refused, which a busy machine cannot
 * always.
 */
const CALLERS = ['service', 'service', 'local', 'elsewhere', 'revoked'] as const;
/** A machine that is too busy to commit answers 503, and 429 to a caller with more reports than its turn. */
const BUSY = /HTTP\/1\.1 (?:429|503) /;
const MAX_TRIES = 5;

/** An event that is sent again is a duplicate where it was booked before the machine was too busy to say so. */
const asBooked = (text: string): string =>
  text
    .replace(/"outcome":"duplicate"/g, '"outcome":"accepted"')
    .replace(
      /"accepted":(\d+),"duplicates":(\d+)/g,
      (_, accepted: string, duplicates: string) => `"booked":${Number(accepted) + Number(duplicates)}`,
    );

/** Makes up requests; which ones depends on the seed alone. Keys stand in them by name: `{{good}}`, `{{good.id}}`. */
class Maker {
  private events = 0;
  private connections = 0;

  constructor(private readonly random: Random) {}

  /** Requests that are sent over one connection without waiting, the last of which ends it. */
  connection(): { text: string; requests: number } {
    this.connections += 1;
    const requests = 1 + this.random.integer(MOST_AHEAD);
    const texts = Array.from({ length: requests }, (_, index) => this.request(index === requests - 1 ? [CLOSE] : []));
    return { text: texts.join(''), requests };
  }

  private request(lines: readonly string[]): string {
    const path = this.chance(20) ? this.random.pick(OTHER_PATHS) : this.random.pick(PATHS);
    const isOdd = this.chance(4);
    const odd = this.random.pick(LINES);
    // A compressed report counts as the largest one: beside it, reports of the same caller are told to wait.
    const isTooMuch = path === '/usage' && odd.startsWith('Content-Encoding');
    const all = [
      ...(isOdd && this.chance(3) ? [`Content-Type: ${this.random.pick(TYPES)}`] : []),
      ...(isOdd && !isTooMuch ? [odd] : []),
      ...(isOdd && this.chance(6) ? [`Authorization: Bearer {{${this.random.pick(CALLERS)}}}`] : []),
      ...lines,
    ];
    const known = this.chance(6) ? this.random.pick(CALLERS) : 'service';
    const caller = this.chance(12) ? this.random.pick(['', 'x', 'a.b.c', 'lk_live_x']) : `{{${known}}}`;
    return request(path, caller, this.body(path), all);
  }

  private body(path: string): string {
    if (this.chance(15)) return this.random.pick(SPOILT);
    if (path === '/usage') return JSON.stringify({ events: this.several(() => this.event()) });
    if (path === '/verify/batch') return JSON.stringify({ items: this.several(() => this.question()) });
    return JSON.stringify(this.question());
  }

  private question(): Fields {
    const key = this.chance(5) ? this.random.pick(['garbage', 'lk_live_x', '']) : `{{${this.random.pick(KEY_NAMES)}}}`;
    return this.changed({ key, ...(this.chance(3) ? { model: 'gpt-4o', scopes: ['a'] } : {}) }, QUESTION);
  }

  private event(): Fields {
    this.events += 1;
    // The same again over the same connection alone: what comes first must not depend on the instant.
    const id = this.chance(8) ? `again-${this.connections}` : `made-up-${this.events}`;
    return this.changed({ id, apiKeyId: `{{${this.random.pick(KEY_NAMES)}.id}}`, costCents: 0.25 }, EVENT);
  }

  private changed(fields: Fields, names: readonly string[]): Fields {
    if (!this.chance(3)) return fields;
    return Object.fromEntries([...Object.entries(fields), [this.random.pick(names), this.random.pick(VALUES)]]);
  }

  private several<T>(make: () => T): T[] {
    return Array.from({ length: 1 + this.random.integer(3) }, make);
  }

  private chance(oneIn: number): boolean {
    return this.random.integer(oneIn) === 0;
  }
}

/** Ids and secrets of all keys have the same length in both applications, so that lengths of bodies stay right. */
function bytesOf(text: string): Bytes {
  return (keys) =>
    withLengths(
      KEY_NAMES.reduce(
        (filled, name) =>
          filled.replaceAll(`{{${name}}}`, keys[name].secret).replaceAll(`{{${name}.id}}`, keys[name].id),
        text,
      ),
    );
}

/** Lengths of bodies, which were made for names of keys in place of the keys. */
function withLengths(text: string): string {
  return text
    .split(/(?=POST \/api\/v1)/)
    .map((one) => {
      const [head, body] = [one.slice(0, one.indexOf('\r\n\r\n')), one.slice(one.indexOf('\r\n\r\n') + 4)];
      return `${head.replace(/\r\nContent-Length: \d+/, `\r\nContent-Length: ${Buffer.byteLength(body)}`)}\r\n\r\n${body}`;
    })
    .join('');
}

describe(`${REQUESTS} made-up requests (SEED=${SEED})`, () => {
  let on: Way;
  let off: Way;
  beforeAll(async () => {
    [on, off] = [await Way.start('on'), await Way.start('off')];
  });
  afterAll(async () => {
    await on.app.stop();
    await off.app.stop();
  });

  it('get the same bytes back with the short cut and without it', async () => {
    const maker = new Maker(new Random(SEED));
    let sent = 0;
    while (sent < REQUESTS) {
      const connections = Array.from({ length: AT_THE_SAME_TIME }, () => maker.connection());
      sent += connections.reduce((sum, { requests }) => sum + requests, 0);
      const answers = (way: Way) => Promise.all(connections.map(({ text }) => way.answerTo(bytesOf(text))));
      let [withIt, without] = [await answers(on), await answers(off)];
      for (let tries = 1; tries < MAX_TRIES && BUSY.test([...withIt, ...without].join()); tries += 1)
        [withIt, without] = [await answers(on), await answers(off)];
      expect(withIt.map(asBooked)).toEqual(without.map(asBooked));
      for (const [index, { requests }] of connections.entries())
        expect(withIt[index]!.match(/HTTP\/1\.1 \d{3} /g)).toHaveLength(requests);
    }
    // Many were plain, and many were not.
    expect(await on.answered()).toBeGreaterThan(REQUESTS / 4);
    expect(await on.handedOver()).toBeGreaterThan(REQUESTS / 20);
    expect(await off.answered()).toBe(0);
  }, 600_000);
});
