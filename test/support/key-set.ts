import { type KeyObject, generateKeyPairSync } from 'node:crypto';
import { type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import jwt from 'jsonwebtoken';

/** An identity provider in this process: signing keys, and the address of their set. */
export class TestProvider {
  readonly issuer = 'https://login.latchkey.test';
  readonly audience = 'latchkey-api';
  readonly keys = new Map<string, { privateKey: KeyObject; publicKey: KeyObject; alg: string }>();
  /** Requests for the set so far. */
  asked = 0;
  /** Ids of the keys in the set; others exist, but are withdrawn. */
  published: string[] = [];
  /** Members that replace those of a key in the set, by its id. */
  members: Record<string, Record<string, unknown>> = {};
  /** Replaces the whole answer. */
  answer: ((response: ServerResponse) => void) | null = null;
  private port = 0;
  private readonly server: Server;

  private constructor() {
    this.server = createServer((_request, response) => {
      this.asked += 1;
      if (this.answer) return this.answer(response);
      const keys = this.published.map((kid) => ({
        ...this.keys.get(kid)!.publicKey.export({ format: 'jwk' }),
        kid,
        use: 'sig',
        alg: this.keys.get(kid)!.alg,
        ...this.members[kid],
      }));
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
    });
  }

  static async start(): Promise<TestProvider> {
    const provider = new TestProvider();
    provider.addKey('rsa-1', 'RS256');
    provider.addKey('ec-1', 'ES256');
    provider.addKey('retired', 'RS256');
    provider.published = ['rsa-1', 'ec-1'];
    await new Promise<void>((resolve) => provider.server.listen(0, '127.0.0.1', resolve));
    provider.port = (provider.server.address() as AddressInfo).port;
    return provider;
  }

  get uri(): string {
    return `http://127.0.0.1:${this.port}/jwks`;
  }

  /** The variables by which a server trusts this provider. */
  get variables(): Record<string, string> {
    return {
      OIDC_ISSUER: this.issuer,
      OIDC_JWKS_URI: this.uri,
      OIDC_AUDIENCE: this.audience,
      OIDC_ROLE_MAP: 'staff=creator,bosses=admin,ghosts=no-such-role',
    };
  }

  addKey(kid: string, alg: 'RS256' | 'ES256', rsa: { modulusLength?: number; publicExponent?: number } = {}): void {
    const pair =
      alg === 'RS256'
        ? generateKeyPairSync('rsa', { modulusLength: 2048, ...rsa })
        : generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.keys.set(kid, { ...pair, alg });
  }

  /** A token as the provider would give it; `claims` and `header` replace what is usual, `undefined` leaves it out. */
  token(claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}, kid = 'rsa-1'): string {
    const key = this.keys.get(kid)!;
    const now = Math.floor(Date.now() / 1000);
    const payload = withoutUndefined({
      iss: this.issuer,
      aud: this.audience,
      sub: 'subject-1',
      iat: now,
      exp: now + 300,
      ...claims,
    });
    const { alg, ...rest } = { alg: key.alg, kid, ...header };
    return jwt.sign(payload, key.privateKey, {
      algorithm: alg as 'RS256',
      header: withoutUndefined({ alg, ...rest }) as never,
      noTimestamp: !('iat' in payload),
      allowInsecureKeySizes: true,
    });
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

function withoutUndefined(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
