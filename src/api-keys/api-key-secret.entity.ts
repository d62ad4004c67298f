import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * One secret of a key. Only a peppered MAC is stored, and it is not mapped here: no read of the
 * management plane can carry it. What is stored never authenticates.
 */
@Entity('api_key_secret')
export class ApiKeySecret {
  /** Public id of the secret: 14 base62 characters, part of what the client presents. */
  @PrimaryColumn('text')
  kid: string;

  @Column('uuid', { name: 'key_id' })
  keyId: string;

  /** `own`: made here. `imported`: another system's secret, known by its hash. */
  @Column('text')
  kind: 'own' | 'imported';

  /** Public start of the secret, safe to show and log. */
  @Column('text', { name: 'key_prefix' })
  keyPrefix: string;

  @Column('text', { name: 'pepper_version' })
  pepperVersion: string;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt: Date;

  @Column('timestamptz', { name: 'last_used_at', nullable: true })
  lastUsedAt: Date | null;

  /** End of an overlap after regenerate; null: as long as the key. */
  @Column('timestamptz', { name: 'expires_at', nullable: true })
  expiresAt: Date | null;

  @Column('timestamptz', { name: 'revoked_at', nullable: true })
  revokedAt: Date | null;
}
