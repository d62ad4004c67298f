import type { EntityManager } from 'typeorm';
import type { SecretName } from '../config/generated-secrets.js';
import { PLAIN_VERSION } from '../config/versioned-secrets.js';
import type { Fingerprint } from './fingerprint.js';

/** A fingerprint as it was recorded. */
export interface RecordedFingerprint extends Fingerprint {
  readonly firstSeenAt: Date;
}

/** The newest entry of the audit trail, and what its hash builds on. */
export interface NewestEntry {
  readonly body: string;
  readonly hash: Buffer;
  /** null: the entry before it is missing. */
  readonly previous: Buffer | null;
}

/** How many rows name a version. */
export interface VersionCount {
  readonly version: string | null;
  readonly count: number;
}

/** A replica counts as running if it was seen this long ago at most. */
const LIVE_SECONDS = 10;

/** Secrets that open something: of keys that are not revoked, and not ended themselves. */
const LIVE_SECRETS = `
  FROM api_key_secret s JOIN api_key k ON k.id = s.key_id
 WHERE s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > now()) AND k.revoked_at IS NULL`;

/** Through JSON: the doctor may look at a database that has no such column yet. */
const PASSWORD_PEPPER = `to_jsonb(u) ->> 'password_binding_version'`;
const BOUND_PASSWORDS = `FROM users u WHERE u.password_hash IS NOT NULL AND ${PASSWORD_PEPPER} IS NOT NULL`;

/** Reads which installation this is, which secrets it has seen, and what still needs them. */
export class InstallationRepository {
  constructor(private readonly manager: EntityManager) {}

  /** Its id; null for a database of a build before fingerprints. */
  async findId(): Promise<string | null> {
    const [table] = await this.manager.query<unknown[]>(
      `SELECT 1 FROM pg_class WHERE oid = to_regclass('installation')`,
    );
    if (!table) return null;
    const [row] = await this.manager.query<{ id: string }[]>('SELECT id FROM installation');
    return row?.id ?? null;
  }

  /** Everything that was recorded, in order of variable and version. */
  findFingerprints(): Promise<RecordedFingerprint[]> {
    return this.manager.query<RecordedFingerprint[]>(
      `SELECT variable, version, fingerprint, first_seen_at AS "firstSeenAt" FROM secret_fingerprint ORDER BY variable, version`,
    );
  }

  async insert({ variable, version, fingerprint }: Fingerprint): Promise<void> {
    await this.manager.query(
      'INSERT INTO secret_fingerprint (variable, version, fingerprint, first_seen_at) VALUES ($1, $2, $3, clock_timestamp())',
      [variable, version, fingerprint],
    );
  }

  /** From now on the head names the version of AUDIT_KEY that signs, which a build before versions cannot read. */
  async nameAuditKeyVersion(version: string): Promise<void> {
    await this.manager.query('SELECT audit_name_key($1) FROM change_head WHERE audit_key_version IS NULL', [version]);
  }

  /** The newest entry of the trail; null if there is none. */
  async findNewestEntry(): Promise<NewestEntry | null> {
    const [row] = await this.manager.query<NewestEntry[]>(
      `SELECT e.body, e.hash, CASE e.seq WHEN 1 THEN decode(repeat('00', 32), 'hex') ELSE p.hash END AS previous
         FROM audit_event e LEFT JOIN audit_event p ON p.seq = e.seq - 1 ORDER BY e.seq DESC LIMIT 1`,
    );
    return row ?? null;
  }

  /** Every version of AUDIT_KEY that has signed entries, with the first and the last of them; null: still signing. */
  async findAuditSegments(): Promise<{ version: string; lastSeq: string | null }[]> {
    return this.manager.query(
      `SELECT from_version AS version, seq AS "lastSeq" FROM audit_key_change
       UNION ALL SELECT coalesce(audit_key_version, $1), NULL FROM change_head WHERE seq > 0`,
      [PLAIN_VERSION],
    );
  }

  /**
   * Versions of peppers that any secret, password or second factor names; those of secrets are read from the index in
   * as many steps as there are versions.
   */
  async findPepperVersions(): Promise<string[]> {
    const rows = await this.manager.query<{ version: string }[]>(
      `WITH RECURSIVE found AS (
         SELECT min(pepper_version) AS version FROM api_key_secret
         UNION ALL SELECT (SELECT min(pepper_version) FROM api_key_secret WHERE pepper_version > found.version) FROM found WHERE found.version IS NOT NULL
       ) SELECT version FROM found WHERE version IS NOT NULL UNION SELECT ${PASSWORD_PEPPER} ${BOUND_PASSWORDS}`,
    );
    const ofFactors = (await this.hasSecondFactors())
      ? await this.manager.query<{ version: string }[]>('SELECT DISTINCT pepper_version AS version FROM second_factor')
      : [];
    return [...new Set([...rows, ...ofFactors].map(({ version }) => version))];
  }

  /** Secrets of second factors, by the pepper that opens them. */
  async countSecondFactorsByPepper(): Promise<VersionCount[]> {
    if (!(await this.hasSecondFactors())) return [];
    return this.manager.query(
      'SELECT pepper_version AS version, count(*)::int AS count FROM second_factor GROUP BY 1 ORDER BY 1',
    );
  }

  /** Passwords by the pepper that binds them to their users. */
  countPasswordsByPepper(): Promise<VersionCount[]> {
    return this.manager.query(
      `SELECT ${PASSWORD_PEPPER} AS version, count(*)::int AS count ${BOUND_PASSWORDS} GROUP BY 1 ORDER BY 1`,
    );
  }

  /** Secrets that open something, by the pepper they need. */
  countByPepper(): Promise<VersionCount[]> {
    return this.manager.query(
      `SELECT s.pepper_version AS version, count(*)::int AS count ${LIVE_SECRETS} GROUP BY 1 ORDER BY 1`,
    );
  }

  /** Secrets that open something, by the tag key they need; null: made before that was recorded. */
  countByTagKey(): Promise<VersionCount[]> {
    return this.manager.query(
      `SELECT s.tag_version AS version, count(*)::int AS count ${LIVE_SECRETS} AND s.kind = 'own' GROUP BY 1 ORDER BY 1`,
    );
  }

  /** Whether there is a table of them: the secrets are looked at before an older database is migrated. */
  private async hasSecondFactors(): Promise<boolean> {
    return (
      (await this.manager.query<unknown[]>(`SELECT 1 FROM pg_class WHERE oid = to_regclass('second_factor')`)).length >
      0
    );
  }

  /** Until when reservations may be open that were made before `before`; null: there are none. */
  async findReservationsUntil(before: Date | null): Promise<Date | null> {
    const [row] = await this.manager.query<{ until: Date | null }[]>(
      `SELECT max(hold_until) AS until FROM budget_lease
        WHERE hold_until > clock_timestamp() AND granted_at < coalesce($1, clock_timestamp())`,
      [before],
    );
    return row!.until;
  }

  /** Sessions that have not ended by themselves. */
  async countSessions(): Promise<number> {
    const [row] = await this.manager.query<{ count: number }[]>(
      'SELECT count(*)::int AS count FROM session WHERE expires_at > now()',
    );
    return row!.count;
  }

  /** Replicas that run at the moment. */
  async countReplicas(): Promise<number> {
    const [row] = await this.manager.query<{ count: number }[]>(
      `SELECT count(*)::int AS count FROM replica WHERE seen_at > clock_timestamp() - make_interval(secs => $1)`,
      [LIVE_SECONDS],
    );
    return row!.count;
  }
}

/** A variable and its version, as messages name them. */
export function nameOf({ variable, version }: { variable: SecretName; version: string }): string {
  return `${variable} version ${version}`;
}
