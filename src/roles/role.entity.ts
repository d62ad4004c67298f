import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { KeyPolicy } from '../access/key-policy.js';

/** A named set of grants, with an optional bound on the keys its holders may make. */
@Entity('role')
export class Role {
  @PrimaryColumn('text')
  name: string;

  @Column('text', { default: '' })
  description: string;

  /** Grants in the grammar of `permission-grammar.ts`. */
  @Column('text', { array: true, default: () => "'{}'" })
  permissions: string[];

  @Column('jsonb', { name: 'key_policy', nullable: true })
  keyPolicy: KeyPolicy | null;

  /** An inactive role grants nothing and bounds nothing. */
  @Column('boolean', { name: 'is_active', default: true })
  isActive: boolean;

  @Column('boolean', { name: 'is_seeded', default: false })
  isSeeded: boolean;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt: Date;

  @Column('timestamptz', { name: 'updated_at', default: () => 'now()' })
  updatedAt: Date;
}
