import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A person signs in; a service account only owns keys, and its managers act for it. */
export type UserKind = 'person' | 'service';

/** A person or a service account: what can own keys. Deleting is by `deletedAt`: history keeps its names. */
@Entity('users')
export class User {
  @PrimaryColumn('uuid')
  id: string;

  @Column('text', { nullable: true })
  email: string | null;

  /** What the identity provider says of the address; null for local accounts, and until a token has said it. */
  @Column('boolean', { name: 'email_verified', nullable: true })
  isEmailVerified: boolean | null;

  @Column('text')
  name: string;

  @Column('text')
  kind: UserKind;

  /** argon2id; never selected unless asked for by name. */
  @Column('text', { name: 'password_hash', nullable: true, select: false })
  passwordHash: string | null;

  /** Chosen by another person: the session that it opens can do nothing but change it. */
  @Column('boolean', { name: 'password_is_temporary', default: false })
  passwordIsTemporary: boolean;

  /** The one before a temporary password: it may have been replaced because others know it. */
  @Column('text', { name: 'previous_password_hash', nullable: true, select: false })
  previousPasswordHash: string | null;
  /** What binds the hash to this user; never selected unless asked for by name. */
  @Column('bytea', { name: 'password_binding', nullable: true, select: false })
  passwordBinding: Buffer | null;

  /** The version of API_KEY_PEPPERS that made the binding. */
  @Column('text', { name: 'password_binding_version', nullable: true, select: false })
  passwordBindingVersion: string | null;

  @Column('text', { name: 'oidc_issuer', nullable: true })
  oidcIssuer: string | null;

  @Column('text', { name: 'oidc_subject', nullable: true })
  oidcSubject: string | null;

  /** Roles that the identity provider's claim gave when it was last read; null for local accounts. */
  @Column('text', { name: 'oidc_roles', array: true, nullable: true })
  oidcRoles: string[] | null;

  /** `iat` of the newest token seen, in seconds: an older one never changes anything. */
  @Column('bigint', { name: 'oidc_issued_at', nullable: true })
  oidcIssuedAt: string | null;

  @Column('boolean', { name: 'is_active', default: true })
  isActive: boolean;

  /** null: the configured cap. */
  @Column('integer', { name: 'max_active_keys', nullable: true })
  maxActiveKeys: number | null;

  /** When the person was erased: the row says nothing of them any more. */
  @Column('timestamptz', { name: 'erased_at', nullable: true })
  erasedAt: Date | null;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt: Date;

  @Column('timestamptz', { name: 'updated_at', default: () => 'now()' })
  updatedAt: Date;

  @Column('timestamptz', { name: 'last_sign_in_at', nullable: true })
  lastSignInAt: Date | null;

  @Column('timestamptz', { name: 'deleted_at', nullable: true })
  deletedAt: Date | null;
}
