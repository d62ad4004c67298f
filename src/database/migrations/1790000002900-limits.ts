import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: limits that several keys share and their overrides (docs/adr/0043); members of projects; the alias of a
 * project, and whether its keys work. Why: the spend of an owner, a project or the installation is to be bounded,
 * whichever of its keys spends. Lock taken: ACCESS EXCLUSIVE on project for an instant (a column with a constant
 * default, one without). Can old code run against it: yes. It does not know limits and does not enforce them, so limits
 * may begin only when no such replica runs. It makes projects that are active and have no alias.
 */
export class Limits1790000002900 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const statement of [LIMITS, LIMIT_INDEXES, OVERRIDES, PROJECTS, MEMBERS].flat()) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE quota_limit_override, quota_limit, project_member`);
    await runner.query(`ALTER TABLE project DROP COLUMN is_active, DROP COLUMN alias`);
  }
}

/** Amounts are micro-cents. A limit that has ended keeps its row until its accounts are gone. */
const LIMITS = `
  CREATE TABLE quota_limit (
    id          uuid        NOT NULL,
    name        text        NOT NULL,
    alias       text,
    description text        NOT NULL DEFAULT '',
    unit        text        NOT NULL,
    per         text        NOT NULL,
    amount      bigint      NOT NULL,
    time_zone   text        NOT NULL DEFAULT 'UTC',
    target_kind text        NOT NULL,
    target_id   uuid,
    each        text,
    models      text[]      NOT NULL DEFAULT '{}',
    mode        text        NOT NULL DEFAULT 'enforce',
    counts_from timestamptz NOT NULL,
    ended_at    timestamptz,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT quota_limit_pkey PRIMARY KEY (id),
    CONSTRAINT quota_limit_name_check CHECK (name <> ''),
    CONSTRAINT quota_limit_alias_check CHECK (alias <> ''),
    CONSTRAINT quota_limit_unit_check CHECK (unit = 'cents'),
    CONSTRAINT quota_limit_per_check CHECK (per IN ('day', 'week', 'month', 'total')),
    CONSTRAINT quota_limit_amount_check CHECK (amount >= 0),
    CONSTRAINT quota_limit_target_check CHECK (
      target_kind IN ('key', 'owner', 'project', 'installation') AND (target_kind = 'installation') = (target_id IS NULL)),
    -- Members of a target are smaller than the target, so that no rule can be written in two ways.
    CONSTRAINT quota_limit_each_check CHECK (
      each IS NULL OR each = 'key' AND target_kind <> 'key' OR each = 'owner' AND target_kind IN ('project', 'installation')),
    CONSTRAINT quota_limit_mode_check CHECK (mode IN ('enforce', 'observe'))
  )`;

const LIMIT_INDEXES = [
  `CREATE UNIQUE INDEX quota_limit_alias_key ON quota_limit (alias) WHERE alias IS NOT NULL`,
  `CREATE INDEX quota_limit_target_idx ON quota_limit (target_kind, target_id)`,
];

const OVERRIDES = `
  CREATE TABLE quota_limit_override (
    limit_id  uuid        NOT NULL,
    member_id uuid        NOT NULL,
    amount    bigint      NOT NULL,
    until     timestamptz,
    reason    text        NOT NULL DEFAULT '',
    CONSTRAINT quota_limit_override_pkey PRIMARY KEY (limit_id, member_id),
    CONSTRAINT quota_limit_override_limit_fkey FOREIGN KEY (limit_id) REFERENCES quota_limit (id) ON DELETE CASCADE,
    CONSTRAINT quota_limit_override_amount_check CHECK (amount >= 0)
  )`;

const PROJECTS = [
  `ALTER TABLE project
     ADD COLUMN is_active boolean NOT NULL DEFAULT true,
     ADD COLUMN alias text,
     ADD CONSTRAINT project_alias_check CHECK (alias <> '') NOT VALID`,
  `CREATE UNIQUE INDEX project_alias_key ON project (alias) WHERE alias IS NOT NULL`,
];

const MEMBERS = [
  `CREATE TABLE project_member (
    project_id uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    role       text        NOT NULL,
    added_at   timestamptz NOT NULL,
    CONSTRAINT project_member_pkey PRIMARY KEY (project_id, user_id),
    CONSTRAINT project_member_project_fkey FOREIGN KEY (project_id) REFERENCES project (id) ON DELETE CASCADE,
    CONSTRAINT project_member_role_check CHECK (role IN ('member', 'admin'))
  )`,
  `CREATE INDEX project_member_user_idx ON project_member (user_id, project_id)`,
];
