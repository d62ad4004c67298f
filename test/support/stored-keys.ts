import { uuidv7 } from '../../src/common/uuid.js';
import type { TestApp } from './app.js';
import { asOwner } from './trail.js';

/** A key put straight into the database; what is not given is as a create with an empty body leaves it. */
export interface StoredKey {
  id?: string;
  ownerId: string;
  name?: string;
  alias?: string | null;
  description?: string | null;
  environment?: 'live' | 'test';
  isActive?: boolean;
  scopes?: string[];
  tags?: string[];
  budgetLimitMicroCents?: number | null;
  expiresAt?: Date | null;
  validityDays?: number | null;
  createdAt?: Date;
  updatedAt?: Date;
  lastUsedAt?: Date | null;
  revokedAt?: Date | null;
  keyPrefix?: string;
}

/** Adds keys with one secret each, without the rules of the API; gives their ids in order. */
export async function storeKeys(app: TestApp, keys: readonly StoredKey[]): Promise<string[]> {
  const rows = keys.map(rowOf);
  const columns = Object.keys(rows[0] ?? {}).filter((column) => !['kid', 'key_prefix'].includes(column));
  // As owner: thousands of rows take longer than a statement of the server may.
  await asOwner(app.database, async (owner) => {
    await owner.query(
      `INSERT INTO api_key (${columns.join(', ')}) SELECT ${columns.join(', ')} FROM jsonb_populate_recordset(null::api_key, $1::jsonb)`,
      [JSON.stringify(rows)],
    );
    await owner.query(
      `INSERT INTO api_key_secret (kid, key_id, kind, key_prefix, mac, pepper_version)
       SELECT kid, id, 'own', key_prefix, sha256(kid::bytea), '1' FROM jsonb_to_recordset($1::jsonb) AS r (kid text, id uuid, key_prefix text)`,
      [JSON.stringify(rows)],
    );
    const used = keys.flatMap(({ lastUsedAt }, index) => (lastUsedAt ? [{ id: rows[index]!.id, at: lastUsedAt }] : []));
    await owner.query(
      'UPDATE key_totals SET last_used_at = used.at FROM jsonb_to_recordset($1::jsonb) AS used (id uuid, at timestamptz) WHERE key_id = used.id',
      [JSON.stringify(used)],
    );
  });
  return rows.map((row) => row.id);
}

/** The columns of a key, and of its secret. */
function rowOf(key: StoredKey, index: number) {
  const id = key.id ?? uuidv7();
  const createdAt = key.createdAt ?? new Date();
  const kid = `${id.replaceAll('-', '').slice(-9)}${String(index).padStart(5, '0')}`;
  return {
    id,
    owner_id: key.ownerId,
    name: key.name ?? 'Default API Key',
    alias: key.alias ?? null,
    description: key.description ?? null,
    environment: key.environment ?? 'live',
    is_active: key.isActive ?? true,
    deactivated_at: key.isActive === false ? createdAt : null,
    scopes: key.scopes ?? [],
    roles: [],
    allowed_ips: [],
    allowed_models: [],
    allowed_chatbots: [],
    tags: key.tags ?? [],
    metadata: {},
    budget_limit_micro_cents: key.budgetLimitMicroCents ?? null,
    budget_type: key.budgetLimitMicroCents === undefined || key.budgetLimitMicroCents === null ? null : 'total',
    expires_at: key.expiresAt ?? null,
    validity_days: key.validityDays ?? null,
    created_at: createdAt,
    updated_at: key.updatedAt ?? createdAt,
    revoked_at: key.revokedAt ?? null,
    secret_prefixes: '',
    kid,
    key_prefix: key.keyPrefix ?? `lk_${key.environment ?? 'live'}_${kid}`,
  };
}
