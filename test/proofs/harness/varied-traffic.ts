import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ADMIN, type ProofCluster, type Replica } from './cluster.js';
import type { ProofAnswer, ProofRequest } from './http-client.js';
import type { Random } from './random.js';

const PER_BATCH = 100;
const PER_IMPORT = 500;
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** What may be sent, a second. Signing in costs a password hash, so it comes seldom. */
export interface Pace {
  readonly batchesOfMadeUpKeys: number;
  readonly requests: number;
  readonly signIns: number;
}

/**
 * Everything that a server remembers something of, from addresses that never come again: made-up keys, real keys,
 * reports, strangers with made-up credentials, failed sign-ins, sessions, reads of the management plane, refused bodies
 * and connections that break.
 */
export class VariedTraffic {
  /** Answers, by what was sent. */
  readonly counts: Record<string, number> = {};
  readonly violations: string[] = [];
  private addresses = 0;
  private events = 0;
  private ended = false;

  private constructor(
    private readonly cluster: ProofCluster,
    private readonly replica: Replica,
    private readonly callerSecret: string,
    private readonly keyId: string,
    private readonly keys: readonly string[],
    private readonly random: Random,
  ) {}

  /** Imports so many keys of another system. */
  static async prepare(cluster: ProofCluster, keys: number, random: Random): Promise<VariedTraffic> {
    const secrets = Array.from({ length: keys }, () => `sk-${randomBytes(24).toString('base64url')}`);
    for (let from = 0; from < keys; from += PER_IMPORT) {
      const part = secrets
        .slice(from, from + PER_IMPORT)
        .map((secret) => ({ sha256: createHash('sha256').update(secret).digest('hex'), prefix: secret.slice(0, 8) }));
      const { status, body } = await cluster
        .replica(0)
        .client.post('/api-keys/import', { token: cluster.adminToken, body: { keys: part }, timeoutMs: 60_000 });
      if (status !== 200 || body.counts.created !== part.length)
        throw new Error(`import answered ${status}: ${JSON.stringify(body).slice(0, 300)}`);
    }
    const caller = await cluster.createKey({ roles: ['gateway'] });
    const { id } = await cluster.createKey();
    return new VariedTraffic(cluster, cluster.replica(0), caller.secret, id, secrets, random);
  }

  /** Distinct addresses that requests came from. */
  get distinct(): number {
    return this.addresses + (this.counts['madeUpKeys'] ?? 0);
  }

  /** Every real key once, so that the cache has them, or is full. */
  async warmUp(): Promise<void> {
    for (let from = 0; from < this.keys.length; from += PER_BATCH)
      await this.verifyAll('realKeys', this.keys.slice(from, from + PER_BATCH));
  }

  async run({ batchesOfMadeUpKeys, requests, signIns }: Pace): Promise<void> {
    const kinds = [
      () => this.verify(),
      () => this.report(),
      () => this.send('strangers', 'POST', '/verify', { apiKey: this.madeUp(), body: { key: this.madeUp() } }, [401]),
      () => this.send('reads', 'GET', `/api-keys?search=${this.text(6)}`, { token: this.cluster.adminToken }, [200]),
      () =>
        this.send(
          'refusedBodies',
          'POST',
          '/api-keys',
          { token: this.cluster.adminToken, body: { [this.text(12)]: 1 } },
          [400],
        ),
      () =>
        this.send(
          'unknownThings',
          'GET',
          `/api-keys/${crypto.randomUUID()}`,
          { token: this.cluster.adminToken },
          [404],
        ),
      () => this.send('leakedKeys', 'POST', '/api-keys/self-revoke', { body: { key: this.madeUp() } }, [202, 429]),
      () => this.breakConnection(),
    ];
    await Promise.all([
      this.every(1 / batchesOfMadeUpKeys, () =>
        this.verifyAll(
          'madeUpKeys',
          Array.from({ length: PER_BATCH }, () => this.madeUp()),
        ),
      ),
      ...kinds.map((kind) => this.every(kinds.length / requests, kind)),
      this.every(2 / signIns, () =>
        this.send(
          'failedSignIns',
          'POST',
          '/auth/login',
          { body: { email: `${this.text(8)}@latchkey.test`, password: this.text(20) } },
          [401, 429],
        ),
      ),
      this.every(2 / signIns, () => this.session()),
    ]);
  }

  end(): void {
    this.ended = true;
  }

  private async every(seconds: number, once: () => Promise<void>): Promise<void> {
    let next = performance.now();
    while (!this.ended) {
      await once();
      next = Math.max(performance.now(), next + seconds * 1000);
      await sleep(next - performance.now());
    }
  }

  private async verifyAll(what: string, keys: readonly string[]): Promise<void> {
    const { status } = await this.answered(() =>
      this.replica.client.post('/verify/batch', {
        apiKey: this.callerSecret,
        body: { items: keys.map((key) => ({ key })) },
        timeoutMs: 30_000,
      }),
    );
    this.count(what, keys.length, [200].includes(status) ? null : status);
  }

  private verify(): Promise<void> {
    return this.send(
      'verifies',
      'POST',
      '/verify',
      { apiKey: this.callerSecret, body: { key: this.random.pick(this.keys), ip: this.address() } },
      [200],
    );
  }

  private report(): Promise<void> {
    const events = Array.from({ length: 5 }, () => ({
      id: `v${(this.events += 1)}`,
      apiKeyId: this.keyId,
      costCents: 0.001,
    }));
    return this.send('reports', 'POST', '/usage', { apiKey: this.callerSecret, body: { events } }, [200]);
  }

  private async session(): Promise<void> {
    const { status, body } = await this.answered(() =>
      this.replica.client.post('/auth/login', { body: ADMIN, headers: this.from() }),
    );
    // Failures of strangers may use up what an unknown browser may try.
    this.count('sessions', 1, [200, 429].includes(status) ? null : status);
    if (status === 200)
      await this.send('signOuts', 'POST', '/auth/logout', { token: body.accessToken as string }, [200, 204]);
  }

  /** Half of a request, or one whose answer is not waited for. */
  private breakConnection(): Promise<void> {
    this.count('brokenConnections', 1, null);
    const body = JSON.stringify({ key: this.madeUp() });
    const head = `POST /api/v1/verify HTTP/1.1\r\nHost: x\r\nX-API-Key: ${this.callerSecret}\r\nX-Forwarded-For: ${this.address()}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
    const text = this.random.integer(2) === 0 ? head + body.slice(0, 5) : head + body;
    return new Promise((resolve) => {
      const socket = connect(Number(new URL(this.replica.url).port), '127.0.0.1', () =>
        socket.write(text, () => socket.destroy()),
      );
      socket.on('error', () => undefined);
      socket.once('close', () => resolve());
    });
  }

  private async send(
    what: string,
    method: string,
    path: string,
    request: ProofRequest,
    expected: readonly number[],
  ): Promise<void> {
    const { status } = await this.answered(() =>
      this.replica.client.request(method, `/api/v1${path}`, { ...request, headers: this.from() }),
    );
    this.count(what, 1, expected.includes(status) ? null : status);
  }

  private from(): Record<string, string> {
    return { 'x-forwarded-for': this.address() };
  }

  private async answered(ask: () => Promise<ProofAnswer>): Promise<{ status: number; body: ProofAnswer['body'] }> {
    return ask().catch((error: Error) => ({ status: 0, body: error.message }));
  }

  /** A 503 is none of what it should have been, and no leak. */
  private count(kind: string, number: number, unexpected: number | null): void {
    const what = unexpected === 503 ? 'unavailable' : kind;
    this.counts[what] = (this.counts[what] ?? 0) + number;
    if (unexpected !== null && unexpected !== 503) this.violations.push(`${kind} answered ${unexpected}`);
  }

  /** Never the same twice, in both families by turns. */
  private address(): string {
    const number = (this.addresses += 1);
    const [high, low] = [number >> 16, number & 65_535];
    return number % 2 === 0
      ? `100.${high & 255}.${low >> 8}.${low & 255}`
      : `2001:db8:${high.toString(16)}:${low.toString(16)}::1`;
  }

  private madeUp(): string {
    return this.random.pick([() => `sk-${this.text(32)}`, () => this.text(40), () => `lk_live_${this.text(60)}`])();
  }

  private text(length: number): string {
    let made = '';
    while (made.length < length) made += ALPHABET[this.random.integer(ALPHABET.length)];
    return made;
  }
}
