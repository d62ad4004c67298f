import { TestApp } from '../support/app.js';
import { type IssuedKey, Management, issueKey, issueServiceKey } from '../support/management.js';
import { Upstream } from './proxy.js';

/** What a client made up to pass for another. */
export const FORGED = [
  ['X-Latchkey-Key-Id', 'forged'],
  ['X-Latchkey-Owner-Id', 'forged'],
  ['X-Latchkey-Scopes', 'admin'],
  ['X-Latchkey-Tags', 'forged'],
  ['X-Latchkey-Environment', 'forged'],
  ['X-Latchkey-Reservation-Id', 'forged'],
  ['x-latchkey-key-id', 'forged twice'],
] as const;

/** What the service behind a gateway is told of who calls. */
export const IDENTITY = [
  'x-latchkey-key-id',
  'x-latchkey-owner-id',
  'x-latchkey-scopes',
  'x-latchkey-tags',
  'x-latchkey-reservation-id',
  'x-latchkey-environment',
];

/** Latchkey, and a service that is to be protected. */
export class Behind {
  private constructor(
    readonly app: TestApp,
    readonly upstream: Upstream,
    readonly admin: string,
    readonly gateway: IssuedKey,
    readonly management: Management,
  ) {}

  static async start(settings: Record<string, string> = {}): Promise<Behind> {
    const app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000', TRUSTED_PROXIES: '127.0.0.1', ...settings });
    const admin = await app.adminToken();
    return new Behind(app, await Upstream.start(), admin, await issueServiceKey(app, admin), new Management(app));
  }

  get address(): string {
    return new URL(this.app.baseUrl).host;
  }

  /** A key that has what the pages ask for, unless told otherwise. */
  key(fields: Record<string, unknown> = {}): Promise<IssuedKey> {
    return issueKey(this.app, this.admin, { scopes: ['chat:write'], ...fields });
  }

  async stop(): Promise<void> {
    await this.upstream.stop();
    await this.app.stop();
  }
}

/** The refusals that every gateway must pass on: what the client's key is, and what the client gets. */
export const REFUSALS: readonly {
  code: string;
  status: number;
  fields: Record<string, unknown>;
  end?: 'revoke' | 'deactivate' | 'expire';
}[] = [
  { code: 'REVOKED', status: 401, fields: {}, end: 'revoke' },
  { code: 'DISABLED', status: 401, fields: {}, end: 'deactivate' },
  { code: 'EXPIRED', status: 401, fields: {}, end: 'expire' },
  { code: 'INSUFFICIENT_SCOPE', status: 403, fields: { scopes: ['chat:read'] } },
  { code: 'IP_NOT_ALLOWED', status: 403, fields: { allowedIps: ['203.0.113.7'] } },
  { code: 'MODEL_NOT_ALLOWED', status: 403, fields: { allowedModels: ['gpt-*'] } },
  { code: 'CHATBOT_NOT_ALLOWED', status: 403, fields: { allowedChatbots: ['a'] } },
  { code: 'BUDGET_EXCEEDED', status: 403, fields: { budgetLimitCents: 0 } },
];
