import { ApiPropertyOptional } from '@nestjs/swagger';
import { formatCidr } from '../../packages/contract/src/address.js';
import type { WorkingSession } from '../auth/session-inspector.js';
import type { KeyRecord } from '../key-cache/records/key-record.js';

const seconds = (ms: number) => Math.floor(ms / 1000);

/**
 * The answer to an introspection. Whatever is not good, for whatever reason, is `{"active": false}` and nothing else.
 *
 * @see RFC 7662, section 2.2
 */
export class IntrospectionView {
  /** @example true */
  active: boolean;

  /**
   * What the token may be used for: the key's scopes, or what a signed-in person may do here; separated by a space.
   * @example "chat:read chat:write"
   */
  scope?: string;

  /**
   * Who presents the token: the key, or the audience of session tokens.
   * @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"
   */
  client_id?: string;

  /**
   * On whose behalf: the key's owner, or the person.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  sub?: string;

  /**
   * When it ends, in seconds of Unix time; absent if it does not by itself.
   * @example 1830297600
   */
  exp?: number;

  /**
   * When it was issued, in seconds of Unix time.
   * @example 1798761600
   */
  iat?: number;

  /** @example "Bearer" */
  token_type?: string;

  /** @example "latchkey" */
  iss?: string;

  /** Of a session token: the person's name. Of a key: the key's name. */
  name?: string;

  /** Of a key. */
  key_id?: string;

  /** Of a key: which of its secrets was presented. */
  kid?: string;

  /** Of a key. */
  @ApiPropertyOptional({ enum: ['live', 'test'] })
  environment?: 'live' | 'test';

  @ApiPropertyOptional({
    type: [String],
    description:
      'Of a key, names that its maker wrote: within Latchkey they grant no more than the owner holds; authorise nothing else by them.',
  })
  roles?: readonly string[];

  /** Of a key. */
  @ApiPropertyOptional({ type: [String] })
  tags?: readonly string[];

  /** Of a key: models it may be used for; empty: any. */
  @ApiPropertyOptional({ type: [String] })
  models?: readonly string[];

  /** Of a key: chatbots it may be used for; empty: any. */
  @ApiPropertyOptional({ type: [String] })
  chatbots?: readonly string[];

  /** Of a key: addresses it may be used from; empty: any. */
  @ApiPropertyOptional({ type: [String] })
  ips?: readonly string[];

  /** Of a key. */
  @ApiPropertyOptional({ type: 'object', additionalProperties: { type: 'string' } })
  metadata?: Readonly<Record<string, string>>;

  static inactive(): IntrospectionView {
    return { active: false };
  }

  static ofKey({ key, secret }: KeyRecord, issuer: string): IntrospectionView {
    const ends = [key.expiresAtMs, secret.expiresAtMs].filter((endMs) => endMs !== null);
    return {
      active: true,
      scope: key.scopes.join(' '),
      client_id: key.id,
      sub: key.ownerId,
      ...(ends.length === 0 ? {} : { exp: seconds(Math.min(...ends)) }),
      iat: seconds(secret.createdAtMs),
      token_type: 'Bearer',
      iss: issuer,
      name: key.name,
      key_id: key.id,
      kid: secret.kid,
      environment: key.environment,
      roles: key.roles,
      tags: key.tags,
      models: key.allowedModels,
      chatbots: key.allowedChatbots,
      ips: key.allowedIps.map(formatCidr),
      metadata: key.metadata,
    };
  }

  static ofSession(
    { user, expiresAtSeconds, issuedAtSeconds }: WorkingSession,
    issuer: string,
    audience: string,
  ): IntrospectionView {
    return {
      active: true,
      scope: user.grants.join(' '),
      client_id: audience,
      sub: user.id,
      exp: expiresAtSeconds,
      ...(issuedAtSeconds === null ? {} : { iat: issuedAtSeconds }),
      token_type: 'Bearer',
      iss: issuer,
      name: user.name,
      roles: user.roles,
    };
  }
}
