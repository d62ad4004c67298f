import { Column, Entity, PrimaryColumn } from 'typeorm';
import type {
  LimitMember,
  LimitMode,
  LimitPeriod,
  LimitTargetKind,
  LimitUnit,
} from '../../packages/contract/src/limit.js';

/** PostgreSQL sends bigint as text, so that no amount loses a digit. */
const bigintColumn = {
  to: (value: bigint): string => value.toString(),
  from: (text: string): bigint => BigInt(text),
};

/** The rule of a limit. What was spent is in its accounts. */
@Entity('quota_limit')
export class Limit {
  /** UUIDv7. */
  @PrimaryColumn('uuid')
  id: string;

  @Column('text')
  name: string;

  /** Unique among limits that have not ended. */
  @Column('text', { nullable: true })
  alias: string | null;

  @Column('text', { default: '' })
  description: string;

  @Column('text')
  unit: LimitUnit;

  /** null: calls in flight, which have no period. */
  @Column('text', { nullable: true })
  per: LimitPeriod | null;

  /** Micro-cents of a limit of cents, whole numbers of any other. */
  @Column('bigint', { transformer: bigintColumn })
  amount: bigint;

  /** Whose calendar the periods follow, by its name in the IANA database. */
  @Column('text', { name: 'time_zone', default: 'UTC' })
  timeZone: string;

  @Column('text', { name: 'target_kind' })
  targetKind: LimitTargetKind;

  /** null: the installation. */
  @Column('uuid', { name: 'target_id', nullable: true })
  targetId: string | null;

  /** null: all calls of the target share one account. */
  @Column('text', { nullable: true })
  each: LimitMember | null;

  /** Names and patterns; empty: every model. A call that names no model counts too. */
  @Column('text', { array: true, default: () => "'{}'" })
  models: string[];

  @Column('text', { default: 'enforce' })
  mode: LimitMode;

  @Column('timestamptz', { name: 'counts_from' })
  countsFrom: Date;

  /** null: it holds. The row of a limit that has ended stays until its accounts are gone. */
  @Column('timestamptz', { name: 'ended_at', nullable: true })
  endedAt: Date | null;

  @Column('timestamptz', { name: 'created_at' })
  createdAt: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt: Date;
}
