import type { EntityManager } from 'typeorm';
import { importedBinding, isSameBinding, passwordBinding } from '../../access/credential-binding.js';
import type { VersionedKey } from '../../config/versioned-secrets.js';

/** Rows of one statement. */
const SLICE = 500;
/** No id comes before it. */
const BEFORE_ALL = '00000000-0000-0000-0000-000000000000';

/** How many credentials are not bound, or were bound. */
export interface CredentialCounts {
  readonly passwords: number;
  readonly importedSecrets: number;
}

interface PasswordRow {
  readonly id: string;
  readonly password_hash: string;
  readonly password_binding: Buffer | null;
  readonly password_binding_version: string | null;
}

interface ImportedRow {
  readonly kid: string;
  readonly key_id: string;
  readonly mac: Buffer;
  readonly pepper_version: string;
}

/** Reads and writes what binds stored credentials to their rows. */
export class BindingsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** Those that one of the peppers could prove. */
  async countUnbound(peppers: readonly VersionedKey[]): Promise<CredentialCounts> {
    const [row] = await this.manager.query<CredentialCounts[]>(
      `SELECT (SELECT count(*)::int FROM users WHERE password_hash IS NOT NULL AND password_binding IS NULL) AS passwords,
              (SELECT count(*)::int FROM api_key_secret
                WHERE kind = 'imported' AND binding IS NULL AND pepper_version = ANY($1)) AS "importedSecrets"`,
      [peppers.map(({ version }) => version)],
    );
    return row!;
  }

  /**
   * Binds what has no binding, and passwords whose binding is of an earlier one: the release before sets new ones
   * beside it. A slice a statement. Gives how many rows were bound.
   */
  async bindUnbound(peppers: readonly VersionedKey[]): Promise<CredentialCounts> {
    const passwords = await this.inSlices(BEFORE_ALL, (after) => this.bindPasswords(peppers, after));
    const importedSecrets = await this.inSlices('', (after) => this.bindImported(peppers, after));
    return { passwords, importedSecrets };
  }

  /** Binds passwords under the pepper that signs which an older one has bound, so that the older one can go. */
  async renewPasswords(peppers: readonly VersionedKey[]): Promise<number> {
    const signing = peppers[0]!;
    return this.inSlices(BEFORE_ALL, async (after) => {
      const rows = await this.manager.query<PasswordRow[]>(
        `SELECT id, password_hash, password_binding, password_binding_version FROM users
          WHERE password_hash IS NOT NULL AND password_binding IS NOT NULL AND password_binding_version <> $1 AND id > $2
          ORDER BY id LIMIT $3`,
        [signing.version, after, SLICE],
      );
      return {
        last: rows.at(-1)?.id ?? null,
        done: await this.writePasswords(
          signing,
          rows.filter((row) => isSound(peppers, row)),
        ),
      };
    });
  }

  private async bindPasswords(peppers: readonly VersionedKey[], after: string): Promise<Slice> {
    const rows = await this.manager.query<PasswordRow[]>(
      `SELECT id, password_hash, password_binding, password_binding_version FROM users
        WHERE password_hash IS NOT NULL AND id > $1 ORDER BY id LIMIT $2`,
      [after, SLICE],
    );
    return {
      last: rows.at(-1)?.id ?? null,
      done: await this.writePasswords(
        peppers[0]!,
        rows.filter((row) => !isSound(peppers, row)),
      ),
    };
  }

  /** Unless the password, or what binds it, has changed since it was read. */
  private async writePasswords({ key, version }: VersionedKey, rows: readonly PasswordRow[]): Promise<number> {
    if (rows.length === 0) return 0;
    const [written] = await this.manager.query<[unknown[], number]>(
      `UPDATE users u SET password_binding = b.binding, password_binding_version = $5
         FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[]) AS b (id, hash, before, binding)
        WHERE u.id = b.id AND u.password_hash = b.hash AND u.password_binding IS NOT DISTINCT FROM b.before RETURNING 1`,
      [
        rows.map(({ id }) => id),
        rows.map(({ password_hash }) => password_hash),
        rows.map(({ password_binding }) => password_binding),
        rows.map(({ id, password_hash }) => passwordBinding(key, id, password_hash)),
        version,
      ],
    );
    return written.length;
  }

  /** By the pepper that made the MAC: it is needed for that all the same. */
  private async bindImported(peppers: readonly VersionedKey[], after: string): Promise<Slice> {
    const rows = await this.manager.query<ImportedRow[]>(
      `SELECT kid, key_id, mac, pepper_version FROM api_key_secret
        WHERE kind = 'imported' AND binding IS NULL AND kid > $1 ORDER BY kid LIMIT $2`,
      [after, SLICE],
    );
    const bound = rows.flatMap(({ kid, key_id, mac, pepper_version }) => {
      const pepper = peppers.find(({ version }) => version === pepper_version);
      return pepper === undefined ? [] : [{ kid, key_id, mac, binding: importedBinding(pepper.key, key_id, kid, mac) }];
    });
    const last = rows.at(-1)?.kid ?? null;
    if (bound.length === 0) return { last, done: 0 };
    const [written] = await this.manager.query<[unknown[], number]>(
      `UPDATE api_key_secret s SET binding = b.binding
         FROM unnest($1::text[], $2::uuid[], $3::bytea[], $4::bytea[]) AS b (kid, key_id, mac, binding)
        WHERE s.kid = b.kid AND s.key_id = b.key_id AND s.mac = b.mac AND s.binding IS NULL RETURNING 1`,
      [
        bound.map(({ kid }) => kid),
        bound.map(({ key_id }) => key_id),
        bound.map(({ mac }) => mac),
        bound.map(({ binding }) => binding),
      ],
    );
    return { last, done: written.length };
  }

  private async inSlices(first: string, slice: (after: string) => Promise<Slice>): Promise<number> {
    let total = 0;
    for (let after: string | null = first; after !== null;) {
      const { last, done } = await slice(after);
      total += done;
      after = last;
    }
    return total;
  }
}

function isSound(peppers: readonly VersionedKey[], row: PasswordRow): boolean {
  const pepper = peppers.find(({ version }) => version === row.password_binding_version);
  if (pepper === undefined || row.password_binding === null) return false;
  return isSameBinding(row.password_binding, passwordBinding(pepper.key, row.id, row.password_hash));
}

/** What one statement came to; `last`: where the next one goes on, null where there is none. */
interface Slice {
  readonly last: string | null;
  readonly done: number;
}
