import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Keys that belong together, of any owners. */
@Entity('project')
export class Project {
  /** UUIDv7. */
  @PrimaryColumn('uuid')
  id: string;

  /** Unique, whatever the case of its letters. */
  @Column('text')
  name: string;

  /** Unique; null: none. */
  @Column('text', { nullable: true })
  alias: string | null;

  @Column('text', { default: '' })
  description: string;

  /** While it is false, every key in the project is refused. */
  @Column('boolean', { name: 'is_active', default: true })
  isActive: boolean;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt: Date;

  @Column('timestamptz', { name: 'updated_at', default: () => 'now()' })
  updatedAt: Date;
}
