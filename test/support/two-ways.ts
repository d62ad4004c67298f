import { connect } from 'node:net';
import { Metrics } from '../../src/common/metrics.js';
import type { AppOptions } from '../../src/server/app.setup.js';
import { TestApp } from './app.js';
import { type IssuedKey, Management, issueKey, issueServiceKey } from './management.js';

/** Names of keys that both applications have. */
export const KEY_NAMES = ['service', 'local', 'elsewhere', 'powerless', 'good', 'limited', 'revoked'] as const;
export type KeyName = (typeof KEY_NAMES)[number];
type Keys = Readonly<Record<KeyName, IssuedKey>>;

/** Makes the bytes of requests for an application out of its keys. */
export type Bytes = (keys: Keys) => string | Buffer;

/** An application with the keys that are asked about. */
export class Way {
  private constructor(
    readonly app: TestApp,
    readonly keys: Keys,
  ) {}

  static async start(fastPath: 'on' | 'off', options: AppOptions = {}): Promise<Way> {
    const app = await TestApp.start({ FAST_PATH: fastPath }, undefined, options);
    const token = await app.adminToken();
    const keys: Record<KeyName, IssuedKey> = {
      service: await issueServiceKey(app, token),
      local: await issueKey(app, token, { roles: ['gateway'], allowedIps: ['127.0.0.0/8'] }),
      elsewhere: await issueKey(app, token, { roles: ['gateway'], allowedIps: ['203.0.113.0/24'] }),
      powerless: await issueKey(app, token, {}),
      good: await issueKey(app, token, { name: 'Schlüssel "ä"', scopes: ['a', 'b'], metadata: { plan: 'gold' } }),
      limited: await issueKey(app, token, { rateLimitPerMinute: 10_000, allowedModels: ['gpt-*'] }),
      revoked: await issueKey(app, token, {}),
    };
    await new Management(app).revoke(keys.revoked.id);
    await app.applied();
    return new Way(app, keys);
  }

  get port(): number {
    return Number(new URL(this.app.baseUrl).port);
  }

  /** What comes back over a connection for the bytes, until the server ends it. What differs by nature is blanked. */
  async answerTo(bytes: Bytes, afterwards?: (write: (bytes: string) => void) => Promise<void>): Promise<string> {
    return blanked(await this.exchange(bytes(this.keys), afterwards));
  }

  /** Requests that the short cut answered so far. */
  answered(): Promise<number> {
    return this.count('answered');
  }

  /** Requests to its routes that the ordinary ones answered so far. */
  handedOver(): Promise<number> {
    return this.count('handed-over');
  }

  private async count(outcome: string): Promise<number> {
    const text = await this.app.app.get(Metrics).registry.metrics();
    return Number(
      new RegExp(`^latchkey_short_cut_requests_total\\{outcome="${outcome}"\\} (\\d+)$`, 'm').exec(text)?.[1],
    );
  }

  private exchange(
    bytes: string | Buffer,
    afterwards?: (write: (bytes: string) => void) => Promise<void>,
  ): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1');
      const chunks: Buffer[] = [];
      socket.setTimeout(30_000, () => socket.destroy(new Error('No answer in time.')));
      socket.on('data', (chunk) => chunks.push(chunk));
      // A server that has refused a body resets the connection of one that still sends.
      socket.on('error', (error) => (chunks.length > 0 ? undefined : reject(error)));
      socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
      socket.write(bytes);
      void afterwards?.((more) => socket.write(more)).catch(reject);
    });
  }
}

/** Members whose values depend on the instant. */
const VOLATILE = /"(remaining|used|resetSeconds|retryAfterSeconds|degraded|expiresAt)":("[^"]*"|[a-z0-9.]+)/g;

function blanked(text: string): string {
  return (
    checkLengths(text)
      .replace(/\r\nDate: [^\r]*/g, '\r\nDate: ')
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<uuid>')
      .replace(/"reservation":\{"id":"[^"]*"/g, '"reservation":{"id":"<reservation>"')
      // A replica names the windows that it has asked for of late.
      .replace(/"rateLimits":\[[^\]]*\]/g, '"rateLimits":<>')
      .replace(VOLATILE, '"$1":<>')
      .replace(/\r\n(retry-after|content-length): [^\r]*/g, '\r\n$1: ')
  );
}

/** Every `content-length` is the length of its body: bodies are blanked afterwards. */
function checkLengths(text: string): string {
  for (const [head, length] of text.matchAll(/HTTP\/1\.1 \d{3}[^]*?\r\ncontent-length: (\d+)\r\n[^]*?\r\n\r\n/g)) {
    const rest = text.slice(text.indexOf(head) + head.length + Number(length));
    if (rest !== '' && !rest.startsWith('HTTP/1.1 ')) throw new Error(`content-length ${length} is wrong in ${text}`);
  }
  return text;
}

/** A request whose head is what clients send; `lines` come before its body. */
export function request(
  path: string,
  apiKey: string,
  body: unknown,
  lines: readonly string[] = [],
  version = '1.1',
): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const has = (name: string) => lines.some((line) => line.toLowerCase().startsWith(`${name}:`));
  const head = [
    `POST /api/v1${path} HTTP/${version}`,
    ...(has('host') ? [] : ['Host: test']),
    ...(has('content-type') ? [] : ['Content-Type: application/json']),
    ...(apiKey === '' ? [] : [`X-API-Key: ${apiKey}`]),
    ...(has('content-length') || has('transfer-encoding') ? [] : [`Content-Length: ${Buffer.byteLength(text)}`]),
    ...lines,
  ];
  return `${head.join('\r\n')}\r\n\r\n${text}`;
}

/** As the last request of a connection. */
export const CLOSE = 'Connection: close';
