import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: the id of this installation; a fingerprint of each version of each secret; the changes of AUDIT_KEY; which tag
 * key made a secret.
 * Why: a process with other secrets must not start (G44), and a key must not be removed while rows still need it.
 * Lock taken: ACCESS EXCLUSIVE on `change_head` and `api_key_secret` for a moment: the new columns have no default.
 * Can old code run against it: yes, while AUDIT_KEY has no version (`audit_key_version` is NULL). Afterwards its changes
 * are refused by the constraint on `change_head`, because it would sign them with the whole text of AUDIT_KEY.
 */
export class SecretFingerprints1790000000600 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE installation (
        is_single   boolean     NOT NULL DEFAULT true,
        id          uuid        NOT NULL DEFAULT gen_random_uuid(),
        created_at  timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT installation_pkey PRIMARY KEY (is_single),
        CONSTRAINT installation_single_check CHECK (is_single)
      )`);
    await runner.query(`INSERT INTO installation DEFAULT VALUES`);
    await runner.query(`
      CREATE TABLE secret_fingerprint (
        variable       text        NOT NULL,
        version        text        NOT NULL,
        fingerprint    bytea       NOT NULL,
        first_seen_at  timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT secret_fingerprint_pkey PRIMARY KEY (variable, version),
        CONSTRAINT secret_fingerprint_length_check CHECK (octet_length(fingerprint) = 8)
      )`);
    await runner.query(`
      CREATE TABLE audit_key_change (
        seq           bigint      NOT NULL,
        hash          bytea       NOT NULL,
        at            timestamptz NOT NULL,
        from_version  text        NOT NULL,
        to_version    text        NOT NULL,
        signatures    jsonb       NOT NULL,
        CONSTRAINT audit_key_change_pkey PRIMARY KEY (seq),
        CONSTRAINT audit_key_change_to_key UNIQUE (to_version),
        CONSTRAINT audit_key_change_hash_check CHECK (octet_length(hash) = 32),
        CONSTRAINT audit_key_change_other_check CHECK (from_version <> to_version)
      )`);
    for (const table of ['secret_fingerprint', 'audit_key_change']) {
      await runner.query(`
        CREATE TRIGGER ${table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ${table}
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()`);
      await runner.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${table}_append_only`);
    }
    await runner.query(`
      ALTER TABLE change_head
        ADD COLUMN audit_key_version text,
        ADD COLUMN signed_seq bigint,
        ADD CONSTRAINT change_head_audit_key_version_check
          CHECK (audit_key_version IS NULL OR signed_seq = seq)`);
    await runner.query(`ALTER TABLE api_key_secret ADD COLUMN tag_version text`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_key_secret DROP COLUMN tag_version`);
    await runner.query(`ALTER TABLE change_head DROP COLUMN audit_key_version, DROP COLUMN signed_seq`);
    await runner.query(`DROP TABLE audit_key_change, secret_fingerprint, installation`);
  }
}
