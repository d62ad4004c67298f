import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: users, roles, sessions, keys and their secrets, the change head with the audit trail, idempotent answers.
 * Why: the management plane.
 * Lock taken: none that matters, all tables are new.
 * Can old code run against it: there is none.
 */
export class Foundation1790000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE role (
        name         text        NOT NULL,
        description  text        NOT NULL DEFAULT '',
        permissions  text[]      NOT NULL DEFAULT '{}',
        key_policy   jsonb,
        is_active    boolean     NOT NULL DEFAULT true,
        is_seeded    boolean     NOT NULL DEFAULT false,
        created_at   timestamptz NOT NULL DEFAULT now(),
        updated_at   timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT role_pkey PRIMARY KEY (name),
        CONSTRAINT role_name_check CHECK (name ~ '^[a-z][a-z0-9-]{0,63}$'),
        CONSTRAINT role_admin_immutable_check CHECK (name <> 'admin' OR (permissions = ARRAY['*'] AND is_active AND key_policy IS NULL))
      )`);
    await runner.query(`
      CREATE TABLE users (
        id               uuid        NOT NULL,
        email            text,
        name             text        NOT NULL,
        kind             text        NOT NULL,
        password_hash    text,
        oidc_issuer      text,
        oidc_subject     text,
        is_active        boolean     NOT NULL DEFAULT true,
        max_active_keys  integer,
        created_at       timestamptz NOT NULL DEFAULT now(),
        updated_at       timestamptz NOT NULL DEFAULT now(),
        last_sign_in_at  timestamptz,
        deleted_at       timestamptz,
        oidc_roles       text[],
        oidc_issued_at   bigint,
        CONSTRAINT users_pkey PRIMARY KEY (id),
        CONSTRAINT users_kind_check CHECK (kind IN ('person', 'service')),
        CONSTRAINT users_max_active_keys_check CHECK (max_active_keys >= 0),
        CONSTRAINT users_service_check CHECK (kind = 'person' OR (password_hash IS NULL AND oidc_subject IS NULL)),
        CONSTRAINT users_oidc_check CHECK ((oidc_issuer IS NULL) = (oidc_subject IS NULL))
      )`);
    await runner.query(
      `CREATE UNIQUE INDEX users_email_key ON users (lower(email)) WHERE deleted_at IS NULL AND oidc_issuer IS NULL`,
    );
    await runner.query(
      `CREATE UNIQUE INDEX users_oidc_key ON users (oidc_issuer, oidc_subject)`,
    );
    await runner.query(`
      CREATE TABLE user_role (
        user_id    uuid NOT NULL,
        role_name  text NOT NULL,
        CONSTRAINT user_role_pkey PRIMARY KEY (user_id, role_name),
        CONSTRAINT user_role_user_fkey FOREIGN KEY (user_id) REFERENCES users (id),
        CONSTRAINT user_role_role_fkey FOREIGN KEY (role_name) REFERENCES role (name)
      )`);
    await runner.query(`CREATE INDEX user_role_role_idx ON user_role (role_name)`);
    await runner.query(`
      CREATE TABLE user_manager (
        user_id     uuid NOT NULL,
        manager_id  uuid NOT NULL,
        CONSTRAINT user_manager_pkey PRIMARY KEY (user_id, manager_id),
        CONSTRAINT user_manager_user_fkey FOREIGN KEY (user_id) REFERENCES users (id),
        CONSTRAINT user_manager_manager_fkey FOREIGN KEY (manager_id) REFERENCES users (id),
        CONSTRAINT user_manager_other_check CHECK (user_id <> manager_id)
      )`);
    await runner.query(`CREATE INDEX user_manager_manager_idx ON user_manager (manager_id)`);
    await runner.query(`
      CREATE TABLE session (
        id          uuid        NOT NULL,
        user_id     uuid        NOT NULL,
        created_at  timestamptz NOT NULL DEFAULT now(),
        expires_at  timestamptz NOT NULL,
        CONSTRAINT session_pkey PRIMARY KEY (id),
        CONSTRAINT session_user_fkey FOREIGN KEY (user_id) REFERENCES users (id)
      )`);
    await runner.query(`CREATE INDEX session_user_idx ON session (user_id)`);
    await runner.query(`CREATE INDEX session_expires_idx ON session (expires_at)`);
    // First what lists look at in thousands of rows: PostgreSQL finds a column by going through those before it. The text
    // that is searched is of lines, because no term has a line break: it cannot match across two fields.
    await runner.query(`
      CREATE TABLE api_key (
        id                        uuid        NOT NULL,
        owner_id                  uuid        NOT NULL,
        created_at                timestamptz NOT NULL DEFAULT now(),
        updated_at                timestamptz NOT NULL DEFAULT now(),
        is_active                 boolean     NOT NULL DEFAULT true,
        search_text               text        NOT NULL GENERATED ALWAYS AS
          (lower(name || E'\\n' || coalesce(alias, '') || E'\\n' || secret_prefixes || E'\\n' || coalesce(description, ''))) STORED,
        tags                      text[]      NOT NULL DEFAULT '{}',
        scopes                    text[]      NOT NULL DEFAULT '{}',
        alias                     text,
        name                      text        NOT NULL,
        description               text,
        environment               text        NOT NULL,
        deactivated_at            timestamptz,
        deactivated_by            uuid,
        roles                     text[]      NOT NULL DEFAULT '{}',
        rate_limit_per_minute     integer,
        rate_limit_per_hour       integer,
        rate_limit_per_day        integer,
        allowed_ips               text[]      NOT NULL DEFAULT '{}',
        allowed_models            text[]      NOT NULL DEFAULT '{}',
        allowed_chatbots          text[]      NOT NULL DEFAULT '{}',
        budget_limit_micro_cents  bigint,
        budget_type               text,
        metadata                  jsonb       NOT NULL DEFAULT '{}',
        expires_at                timestamptz,
        validity_days             integer,
        revoked_at                timestamptz,
        revoked_reason            text,
        secret_prefixes           text        NOT NULL DEFAULT '',
        CONSTRAINT api_key_pkey PRIMARY KEY (id) INCLUDE (created_at, expires_at, revoked_at, is_active),
        CONSTRAINT api_key_owner_fkey FOREIGN KEY (owner_id) REFERENCES users (id),
        CONSTRAINT api_key_environment_check CHECK (environment IN ('live', 'test')),
        CONSTRAINT api_key_name_check CHECK (char_length(name) BETWEEN 1 AND 100),
        CONSTRAINT api_key_description_check CHECK (char_length(description) <= 500),
        CONSTRAINT api_key_rate_limit_per_minute_check CHECK (rate_limit_per_minute BETWEEN 1 AND 10000),
        CONSTRAINT api_key_rate_limit_per_hour_check CHECK (rate_limit_per_hour BETWEEN 1 AND 100000),
        CONSTRAINT api_key_rate_limit_per_day_check CHECK (rate_limit_per_day BETWEEN 1 AND 1000000),
        CONSTRAINT api_key_budget_limit_check CHECK (budget_limit_micro_cents BETWEEN 0 AND 1000000000000000),
        CONSTRAINT api_key_budget_type_check CHECK (budget_type IN ('total', 'monthly')),
        CONSTRAINT api_key_budget_whole_check CHECK ((budget_limit_micro_cents IS NULL) = (budget_type IS NULL)),
        CONSTRAINT api_key_validity_days_check CHECK (validity_days BETWEEN 1 AND 3650),
        CONSTRAINT api_key_deactivated_check CHECK (is_active = (deactivated_at IS NULL)),
        CONSTRAINT api_key_revoked_reason_check CHECK (revoked_at IS NOT NULL OR revoked_reason IS NULL)
      )`);
    await runner.query(`CREATE INDEX api_key_roles_idx ON api_key USING gin (roles) WHERE roles <> '{}' AND revoked_at IS NULL`);
    await runner.query(`CREATE UNIQUE INDEX api_key_alias_key ON api_key (owner_id, alias) WHERE revoked_at IS NULL`);
    await runner.query(`
      CREATE TABLE api_key_secret (
        kid             text        NOT NULL,
        key_id          uuid        NOT NULL,
        kind            text        NOT NULL,
        key_prefix      text        NOT NULL,
        mac             bytea       NOT NULL,
        pepper_version  text        NOT NULL,
        created_at      timestamptz NOT NULL DEFAULT now(),
        last_used_at    timestamptz,
        expires_at      timestamptz,
        revoked_at      timestamptz,
        CONSTRAINT api_key_secret_pkey PRIMARY KEY (kid),
        CONSTRAINT api_key_secret_key_fkey FOREIGN KEY (key_id) REFERENCES api_key (id) ON DELETE CASCADE,
        CONSTRAINT api_key_secret_kind_check CHECK (kind IN ('own', 'imported')),
        CONSTRAINT api_key_secret_mac_check CHECK (octet_length(mac) = 32)
      )`);
    await runner.query(`CREATE INDEX api_key_secret_key_idx ON api_key_secret (key_id)`);
    await runner.query(
      `CREATE UNIQUE INDEX api_key_secret_imported_mac_key ON api_key_secret (mac) WHERE kind = 'imported'`,
    );
    await runner.query(`CREATE INDEX api_key_secret_pepper_idx ON api_key_secret (pepper_version)`);
    await runner.query(`
      CREATE TABLE change_head (
        id          boolean NOT NULL DEFAULT true,
        seq         bigint  NOT NULL DEFAULT 0,
        audit_hash  bytea   NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
        epoch       uuid    NOT NULL DEFAULT gen_random_uuid(),
        CONSTRAINT change_head_pkey PRIMARY KEY (id),
        CONSTRAINT change_head_single_check CHECK (id)
      )`);
    await runner.query(`INSERT INTO change_head DEFAULT VALUES`);
    await runner.query(`
      CREATE TABLE audit_event (
        seq             bigint      NOT NULL,
        id              uuid        NOT NULL,
        at              timestamptz NOT NULL,
        actor_kind      text        NOT NULL,
        actor_id        text,
        actor_owner_id  uuid,
        action          text        NOT NULL,
        resource_type   text        NOT NULL,
        resource_id     text,
        outcome         text        NOT NULL,
        ip              text,
        request_id      text,
        changes         jsonb       NOT NULL DEFAULT '[]',
        details         jsonb       NOT NULL DEFAULT '{}',
        body            text        NOT NULL,
        hash            bytea       NOT NULL,
        CONSTRAINT audit_event_pkey PRIMARY KEY (seq),
        CONSTRAINT audit_event_id_key UNIQUE (id),
        CONSTRAINT audit_event_actor_kind_check CHECK (actor_kind IN ('user', 'key', 'anonymous', 'system')),
        CONSTRAINT audit_event_outcome_check CHECK (outcome IN ('success', 'refused')),
        CONSTRAINT audit_event_hash_check CHECK (octet_length(hash) = 32)
      )`);
    await runner.query(`CREATE INDEX audit_event_resource_idx ON audit_event (resource_type, resource_id, seq DESC)`);
    await runner.query(`CREATE INDEX audit_event_actor_idx ON audit_event (actor_id, seq DESC)`);
    await runner.query(`CREATE INDEX audit_event_action_idx ON audit_event (action, seq DESC)`);
    await runner.query(`CREATE INDEX audit_event_at_idx ON audit_event (at)`);
    await runner.query(`CREATE INDEX audit_event_refused_idx ON audit_event (seq DESC) WHERE outcome = 'refused'`);
    // Nearly every entry is a read: without this, a page of changes would go through all of them.
    await runner.query(
      `CREATE INDEX audit_event_not_read_idx ON audit_event (seq DESC) WHERE outcome = 'refused' OR action !~ ':(read|explain|export|verify)$'`,
    );
    await runner.query(`
      CREATE TABLE audit_checkpoint (
        seq        bigint      NOT NULL,
        hash       bytea       NOT NULL,
        at         timestamptz NOT NULL,
        signature  text        NOT NULL,
        CONSTRAINT audit_checkpoint_pkey PRIMARY KEY (seq),
        CONSTRAINT audit_checkpoint_hash_check CHECK (octet_length(hash) = 32)
      )`);
    await runner.query(`
      CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
      END $$`);
    for (const table of ['audit_event', 'audit_checkpoint']) {
      await runner.query(`
        CREATE TRIGGER ${table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ${table}
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()`);
      // ALWAYS: also in a session that plays the replica of a replication.
      await runner.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${table}_append_only`);
    }
    await runner.query(`
      CREATE TABLE idempotency (
        principal_id    uuid        NOT NULL,
        route           text        NOT NULL,
        target          text        NOT NULL,
        key_hash        bytea       NOT NULL,
        payload_hash    bytea       NOT NULL,
        pepper_version  text        NOT NULL,
        kid             text,
        status          smallint    NOT NULL,
        ciphertext      bytea       NOT NULL,
        created_at      timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT idempotency_pkey PRIMARY KEY (principal_id, route, target, key_hash)
      )`);
    await runner.query(`CREATE INDEX idempotency_created_idx ON idempotency (created_at)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['idempotency', 'audit_checkpoint', 'audit_event', 'change_head', 'api_key_secret', 'api_key', 'session', 'user_manager', 'user_role', 'users', 'role']) {
      await runner.query(`DROP TABLE ${table}`);
    }
    await runner.query(`DROP FUNCTION audit_refuse_change()`);
  }
}
