import type { QueryConfig } from 'pg';
import type { EntityManager } from 'typeorm';
import { ApiKey } from './api-key.entity.js';

/** A secret to be stored: everything of it but the secret itself. */
export interface StoredSecret {
  readonly kid: string;
  readonly keyId: string;
  readonly kind: 'own' | 'imported';
  readonly keyPrefix: string;
  readonly mac: Buffer;
  readonly pepperVersion: string;
  /** Of the key that made the tag; null for a secret of another system, which has none. */
  readonly tagVersion: string | null;
  /** What binds a secret of another system to its key; null for one made here, whose MAC does. */
  readonly binding: Buffer | null;
}

/**
 * Inserts a key. Its text is the same for every key, so that PostgreSQL plans it once a session.
 *
 * @param secretPrefixes the prefix of the secret that is inserted next; empty: none is. A trigger of secrets keeps it
 *   true.
 */
export function keyInsert({ connection }: EntityManager, key: ApiKey, secretPrefixes: string): QueryConfig {
  const { columns } = connection.getMetadata(ApiKey);
  const names = [...columns.map(({ databaseName }) => databaseName), 'secret_prefixes'];
  return {
    name: 'insert-key',
    text: `INSERT INTO api_key (${names.join(', ')}) VALUES (${names.map((_, index) => `$${index + 1}`).join(', ')})`,
    values: [
      ...columns.map(
        (column) => connection.driver.preparePersistentValue(column.getEntityValue(key), column) as unknown,
      ),
      secretPrefixes,
    ],
  };
}

/** Inserts a secret. @param createdAt null: by the database's clock */
export function secretInsert(
  { kid, keyId, kind, keyPrefix, mac, pepperVersion, tagVersion, binding }: StoredSecret,
  createdAt: Date | null,
): QueryConfig & { readonly values: unknown[] } {
  return {
    name: 'insert-secret',
    text: `INSERT INTO api_key_secret (kid, key_id, kind, key_prefix, mac, pepper_version, tag_version, created_at, binding)
           VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8::timestamptz, clock_timestamp()), $9)`,
    values: [kid, keyId, kind, keyPrefix, mac, pepperVersion, tagVersion, createdAt, binding],
  };
}
