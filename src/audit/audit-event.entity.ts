import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The value of one field before and after a change. Secrets are never fields. */
export interface FieldChange {
  readonly field: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** Who acted: a signed-in user, a key, a caller without credentials, or the server itself. */
export type ActorKind = 'user' | 'key' | 'anonymous' | 'system';

/** One link of the audit chain. `body` is the text that was hashed; the columns repeat it for queries. */
@Entity('audit_event')
export class AuditEvent {
  /** Order of commit, without gaps. */
  @PrimaryColumn('bigint')
  seq: string;

  @Column('uuid')
  id: string;

  @Column('timestamptz')
  at: Date;

  @Column('text', { name: 'actor_kind' })
  actorKind: ActorKind;

  @Column('text', { name: 'actor_id', nullable: true })
  actorId: string | null;

  @Column('uuid', { name: 'actor_owner_id', nullable: true })
  actorOwnerId: string | null;

  @Column('text')
  action: string;

  @Column('text', { name: 'resource_type' })
  resourceType: string;

  @Column('text', { name: 'resource_id', nullable: true })
  resourceId: string | null;

  @Column('text')
  outcome: 'success' | 'refused';

  @Column('text', { nullable: true })
  ip: string | null;

  @Column('text', { name: 'request_id', nullable: true })
  requestId: string | null;

  @Column('jsonb', { default: () => "'[]'" })
  changes: FieldChange[];

  @Column('jsonb', { default: () => "'{}'" })
  details: Record<string, unknown>;

  @Column('text')
  body: string;

  @Column('bytea')
  hash: Buffer;
}
