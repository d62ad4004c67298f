import { createHash, randomBytes } from 'node:crypto';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { TestProvider } from './key-set.js';

/** What a person who was sent here asked for. */
interface Request {
  readonly redirectUri: string;
  readonly challenge: string;
  readonly nonce: string;
}

/**
 * An identity provider in this process with which people sign in: as strict as a real one about codes, clients and
 * PKCE.
 */
export class LoginProvider {
  readonly clientId = 'latchkey-console';
  readonly clientSecret = 'a secret: of the client';
  /** Who signs in next. */
  person: Record<string, unknown> = {
    sub: 'subject-1',
    name: 'Grace Hopper',
    email: 'grace@example.com',
    roles: ['staff'],
  };
  /** What the next ID tokens say instead of the truth. */
  lies: Record<string, unknown> = {};
  /** Replaces the answer of the token endpoint. */
  tokenAnswer: { status: number; body: string } | null = null;
  /** How the token endpoint wants the secret. */
  secretIn: 'client_secret_basic' | 'client_secret_post' | 'none' = 'client_secret_basic';
  /** Replaces members of its description. */
  described: Record<string, unknown> = {};
  /** Requests to the token endpoint so far. */
  redeemed = 0;
  private readonly codes = new Map<string, Request>();
  private port = 0;

  private constructor(
    private readonly keys: TestProvider,
    private readonly server: Server,
  ) {}

  static async start(): Promise<LoginProvider> {
    const server = createServer((request, response) => void provider.answer(request, response));
    const provider: LoginProvider = new LoginProvider(await TestProvider.start(), server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    provider.port = (server.address() as AddressInfo).port;
    return provider;
  }

  /** Another site than the apps of tests, which are at 127.0.0.1: what is `SameSite` shows here. */
  get issuer(): string {
    return `http://localhost:${this.port}`;
  }

  /** The variables by which a server signs people in here. */
  get variables(): Record<string, string> {
    return {
      ...this.keys.variables,
      OIDC_ISSUER: this.issuer,
      OIDC_CLIENT_ID: this.clientId,
      OIDC_NAME: 'Example Corp',
      ...(this.secretIn === 'none' ? {} : { OIDC_CLIENT_SECRET: this.clientSecret }),
    };
  }

  /** A token of the same person for calls without a browser. */
  bearerToken(): string {
    return this.keys.token({ iss: this.issuer, ...this.person });
  }

  /**
   * The person agrees: where a browser that was sent to `location` is led back to. @throws Error for a request no
   * provider takes
   */
  approve(location: string): URL {
    const { origin, pathname, searchParams: asked } = new URL(location);
    const wanted = { response_type: 'code', client_id: this.clientId, code_challenge_method: 'S256' };
    for (const [name, value] of Object.entries(wanted))
      if (asked.get(name) !== value) throw new Error(`${name} is ${asked.get(name)}`);
    if (`${origin}${pathname}` !== `${this.issuer}/authorize`)
      throw new Error(`${location} is not the authorization endpoint`);
    if (!asked.get('scope')?.split(' ').includes('openid')) throw new Error('no scope openid');
    const code = randomBytes(16).toString('base64url');
    this.codes.set(code, {
      redirectUri: asked.get('redirect_uri')!,
      challenge: asked.get('code_challenge')!,
      nonce: asked.get('nonce')!,
    });
    const back = new URL(asked.get('redirect_uri')!);
    for (const [name, value] of Object.entries({
      code,
      state: asked.get('state')!,
      iss: this.issuer,
      session_state: 'ignored',
    }))
      back.searchParams.set(name, value);
    return back;
  }

  /** As `approve`, for a person who does not agree. */
  deny(location: string): URL {
    const back = this.approve(location);
    back.searchParams.delete('code');
    back.searchParams.set('error', 'access_denied');
    return back;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await this.keys.stop();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, this.issuer);
    if (url.pathname === '/.well-known/openid-configuration') return json(response, 200, this.description());
    if (url.pathname === '/token' && request.method === 'POST') return this.redeem(request, response);
    if (url.pathname === '/authorize') return page(response, url.search);
    if (url.pathname === '/agree')
      return void response
        .writeHead(302, { location: this.approve(`${this.issuer}/authorize${url.search}`).href })
        .end();
    if (url.pathname === '/refuse')
      return void response.writeHead(302, { location: this.deny(`${this.issuer}/authorize${url.search}`).href }).end();
    response.writeHead(404).end();
  }

  private description(): Record<string, unknown> {
    return {
      issuer: this.issuer,
      authorization_endpoint: `${this.issuer}/authorize`,
      token_endpoint: `${this.issuer}/token`,
      jwks_uri: this.keys.uri,
      token_endpoint_auth_methods_supported: [this.secretIn],
      ...this.described,
    };
  }

  private async redeem(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.redeemed += 1;
    let body = '';
    for await (const chunk of request) body += String(chunk);
    if (this.tokenAnswer)
      return void response
        .writeHead(this.tokenAnswer.status, { 'content-type': 'application/json' })
        .end(this.tokenAnswer.body);
    const form = new URLSearchParams(body);
    if (!this.knowsClient(request, form)) return json(response, 401, { error: 'invalid_client' });
    const asked = this.codes.get(form.get('code') ?? '');
    this.codes.delete(form.get('code') ?? '');
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    const isGood =
      form.get('grant_type') === 'authorization_code' &&
      asked?.challenge === challenge &&
      asked.redirectUri === form.get('redirect_uri');
    if (!isGood)
      return json(response, 400, { error: 'invalid_grant', error_description: 'The code is not good (any more).' });
    const idToken = this.keys.token({
      iss: this.issuer,
      aud: this.clientId,
      nonce: asked.nonce,
      ...this.person,
      ...this.lies,
    });
    json(response, 200, { token_type: 'Bearer', access_token: 'not for Latchkey', expires_in: 60, id_token: idToken });
  }

  private knowsClient({ headers }: IncomingMessage, form: URLSearchParams): boolean {
    if (this.secretIn === 'none') return form.get('client_id') === this.clientId && form.get('client_secret') === null;
    if (this.secretIn === 'client_secret_post')
      return form.get('client_id') === this.clientId && form.get('client_secret') === this.clientSecret;
    const encoded = Buffer.from((headers.authorization ?? '').replace(/^Basic /, ''), 'base64')
      .toString()
      .split(':');
    const [id, secret] = encoded.map((part) => decodeURIComponent(part.replaceAll('+', ' ')));
    return encoded.length === 2 && id === this.clientId && secret === this.clientSecret;
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** What a browser shows there. */
function page(response: ServerResponse, search: string): void {
  const href = (path: string) => `${path}${search}`.replaceAll('&', '&amp;');
  response
    .writeHead(200, { 'content-type': 'text/html' })
    .end(
      `<!doctype html><html lang="en"><title>Example Corp</title><h1>Example Corp</h1><a href="${href('/agree')}">Continue as Grace</a> <a href="${href('/refuse')}">Cancel</a></html>`,
    );
}
