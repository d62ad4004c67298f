import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { violatedConstraint } from '../common/database-errors.js';
import { inOneTrip } from '../database/in-one-trip.js';
import { ApiKeySecret } from './api-key-secret.entity.js';
import { ApiKey } from './api-key.entity.js';
import type { ApiKeyDetails } from './api-key.view.js';
import type { ProjectRole } from '../projects/project-role.js';
import type { KeyOwnership } from './key-standing.js';
import { keyInsert, secretInsert, type StoredSecret } from './key-inserts.js';
import type { KeyState } from './settings/settings.js';

/** The use of a key before it was imported. */
export interface PastUse {
  readonly spentMicroCents: bigint;
  readonly lastUsedAt: Date | null;
}

interface OwnershipRow {
  readonly id: string;
  readonly owner_id: string;
  readonly manager_ids: string[];
  readonly project_role: ProjectRole | null;
}

/** What stands beside a key's row. Null where there is no such row any more. */
interface StandingRow {
  readonly key_id: string;
  readonly name: string | null;
  readonly is_active: boolean | null;
  readonly kind: 'person' | 'service' | null;
  readonly manager_ids: string[];
  readonly is_project_admin: boolean;
  readonly requests: string | null;
  readonly tokens: string | null;
  readonly cost_micro_cents: string | null;
  readonly last_used_at: Date | null;
  readonly hand_over_by_name: string | null;
}

/** A key is called by its newest secret, also when that has ended. */
const NEWEST_KID =
  'SELECT n.kid FROM api_key_secret n WHERE n.key_id = s.key_id ORDER BY n.created_at DESC, n.kid LIMIT 1';

const COUNT_ACTIVE = `
  SELECT count(*)::int AS count FROM api_key
   WHERE owner_id = $1 AND is_active AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND id IS DISTINCT FROM $2`;

/** Rows of keys and their secrets. Nothing here reads a MAC. */
@Injectable()
export class ApiKeysRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): ApiKeysRepository {
    return new ApiKeysRepository(tx);
  }

  /** Whose key it is, or null when there is no such key. `userId`: the caller, if signed in. */
  async findOwnership(id: string, userId: string | null): Promise<KeyOwnership | null> {
    return (await this.ownershipsOf([id], userId))[0] ?? null;
  }

  /** Whose keys these are; ids of keys that do not exist are left out. `userId`: the caller, if signed in. */
  async ownershipsOf(ids: readonly string[], userId: string | null): Promise<KeyOwnership[]> {
    const rows = await this.manager.query<OwnershipRow[]>(
      `SELECT id, owner_id, ARRAY(SELECT manager_id FROM user_manager m WHERE m.user_id = k.owner_id) AS manager_ids,
              (SELECT role FROM project_member p WHERE p.project_id = k.project_id AND p.user_id = $2) AS project_role
         FROM api_key k WHERE id = ANY($1)`,
      [ids, userId],
    );
    return rows.map((row) => ({
      id: row.id,
      ownerId: row.owner_id,
      managerIds: row.manager_ids,
      projectRole: row.project_role,
    }));
  }

  /**
   * Which key an imported secret belongs to, under any of the given MACs (one a pepper), or null. `userId`: the caller,
   * if signed in.
   */
  async findByImportedMac(macs: readonly Buffer[], userId: string | null): Promise<KeyOwnership | null> {
    const [row] = await this.manager.query<{ key_id: string }[]>(
      `SELECT key_id FROM api_key_secret WHERE mac = ANY($1) AND kind = 'imported'`,
      [macs],
    );
    return row ? ((await this.ownershipsOf([row.key_id], userId))[0] ?? null) : null;
  }

  /** The key, its row locked until the transaction ends, or null. */
  async findForUpdate(id: string): Promise<ApiKey | null> {
    return this.manager
      .createQueryBuilder(ApiKey, 'k')
      .where('k.id = :id', { id })
      .setLock('pessimistic_write')
      .getOne();
  }

  /** The owner's key of this alias that is not revoked, its row locked until the transaction ends, or null. */
  async findByAliasForUpdate(ownerId: string, alias: string): Promise<ApiKey | null> {
    return this.manager
      .createQueryBuilder(ApiKey, 'k')
      .where('k.ownerId = :ownerId AND k.alias = :alias AND k.revokedAt IS NULL', { ownerId, alias })
      .setLock('pessimistic_write')
      .getOne();
  }

  /**
   * The roles of a key that still acts, with what they grant, in one round trip; the key and its roles are held as they
   * are until the transaction ends. null when it acts no more.
   */
  async findActingRoles(id: string): Promise<{ roles: string[]; grants: string[] } | null> {
    const [keys, roles] = (await inOneTrip(this.manager, [
      {
        name: 'hold-acting-key',
        text: `SELECT roles FROM api_key k WHERE id = $1 AND is_active AND revoked_at IS NULL
                  AND NOT EXISTS (SELECT FROM project p WHERE p.id = k.project_id AND NOT p.is_active) FOR SHARE`,
        values: [id],
      },
      {
        name: 'hold-roles-of-key',
        text: `SELECT permissions FROM role WHERE is_active AND name = ANY(SELECT unnest(roles) FROM api_key WHERE id = $1)
                ORDER BY name FOR SHARE`,
        values: [id],
      },
    ])) as [{ roles: string[] }[], { permissions: string[] }[]];
    const [key] = keys;
    return key === undefined ? null : { roles: key.roles, grants: roles.flatMap(({ permissions }) => permissions) };
  }

  /** The key as its view shows it to a caller, `userId` if signed in; or null. */
  async findDetails(id: string, userId: string | null): Promise<ApiKeyDetails | null> {
    const key = await this.manager.createQueryBuilder(ApiKey, 'k').where('k.id = :id', { id }).getOne();
    return key && ((await this.detailsOf([key], userId))[0] ?? null);
  }

  /**
   * Adds to each key, in order, what its view shows beside the row: two statements for any number of keys. `userId`:
   * the caller, if signed in.
   */
  async detailsOf(keys: readonly ApiKey[], userId: string | null): Promise<ApiKeyDetails[]> {
    if (keys.length === 0) return [];
    const [secrets, standings] = await Promise.all([this.shownSecretsOf(keys), this.standingsOf(keys, userId)]);
    return keys.map((key) => ({
      key,
      ...standings.get(key.id)!,
      secrets: secrets.filter((secret) => secret.keyId === key.id),
    }));
  }

  private shownSecretsOf(keys: readonly ApiKey[]): Promise<ApiKeySecret[]> {
    return this.manager
      .createQueryBuilder(ApiKeySecret, 's')
      .where('s.keyId IN (:...ids)', { ids: keys.map((key) => key.id) })
      .andWhere(`((s.revokedAt IS NULL AND (s.expiresAt IS NULL OR s.expiresAt > now())) OR s.kid = (${NEWEST_KID}))`)
      .orderBy('s.createdAt', 'DESC')
      .addOrderBy('s.kid', 'ASC')
      .getMany();
  }

  /**
   * Who the owners are, and what keys have used so far. By the keys at hand: one that is gone meanwhile has both still.
   */
  private async standingsOf(
    keys: readonly ApiKey[],
    userId: string | null,
  ): Promise<Map<string, Omit<ApiKeyDetails, 'key' | 'secrets'>>> {
    const rows = await this.manager.query<StandingRow[]>(
      `WITH pending AS MATERIALIZED (
         SELECT key_id, saturated(sum(requests)) AS requests, saturated(sum(input_tokens)) AS input, saturated(sum(output_tokens)) AS output,
                saturated(sum(cost_micro_cents)) AS cost, max(booked_at) AS at
           FROM usage_pending_rows() WHERE key_id = ANY($1) GROUP BY key_id)
       SELECT k.id AS key_id, u.name, u.is_active AND u.deleted_at IS NULL AS is_active, u.kind,
              ARRAY(SELECT manager_id FROM user_manager m WHERE m.user_id = k.owner_id) AS manager_ids,
              EXISTS (SELECT FROM project_member m WHERE m.project_id = k.project_id AND m.user_id = $5 AND m.role = 'admin') AS is_project_admin,
              saturating_add(coalesce(t.requests, 0), coalesce(p.requests, 0)) AS requests,
              saturating_add(coalesce(t.input_tokens, 0), coalesce(p.input, 0))::numeric
                + saturating_add(coalesce(t.output_tokens, 0), coalesce(p.output, 0)) AS tokens,
              saturating_add(coalesce(t.cost_micro_cents, 0), coalesce(p.cost, 0)) AS cost_micro_cents,
              nullif(key_last_used(t.last_used_at, p.at), '-infinity') AS last_used_at,
              o.name AS hand_over_by_name
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[]) AS k (id, owner_id, hand_over_by, project_id)
         LEFT JOIN users u ON u.id = k.owner_id LEFT JOIN users o ON o.id = k.hand_over_by
         LEFT JOIN key_totals t ON t.key_id = k.id LEFT JOIN pending p ON p.key_id = k.id`,
      [
        keys.map((key) => key.id),
        keys.map((key) => key.ownerId),
        keys.map((key) => key.handOverBy),
        keys.map((key) => key.projectId),
        userId,
      ],
    );
    return new Map(
      rows.map((row) => [
        row.key_id,
        {
          ownerName: row.name ?? '',
          ownerIsActive: row.is_active ?? false,
          ownerKind: row.kind ?? 'person',
          managerIds: row.manager_ids,
          isProjectAdmin: row.is_project_admin,
          handOverByName: row.hand_over_by_name,
          totals: {
            requests: Number(row.requests ?? 0),
            tokens: Number(row.tokens ?? 0),
            costMicroCents: BigInt(row.cost_micro_cents ?? 0),
            lastUsedAt: row.last_used_at,
          },
        },
      ]),
    );
  }

  /** Keys of an owner that count against the cap, `exceptId` left out. In a transaction, in order with `inOneTrip`. */
  async countActiveOf(ownerId: string, exceptId: string | null = null): Promise<number> {
    const [[row]] = (await inOneTrip(this.manager, [
      { name: 'count-active-keys', text: COUNT_ACTIVE, values: [ownerId, exceptId] },
    ])) as [[{ count: number }]];
    return row.count;
  }

  /** Adds a key. @throws QueryFailedError 23505 on `api_key_alias_key` when the alias is taken. */
  async insert(key: ApiKey): Promise<void> {
    await inOneTrip(this.manager, [keyInsert(this.manager, key, '')]);
  }

  /**
   * Stores what a management change may change of a key.
   *
   * @throws QueryFailedError 23505 on `api_key_alias_key` when the alias is taken.
   */
  async update(key: KeyState): Promise<void> {
    const { id, createdAt: _createdAt, ...columns } = key;
    await this.manager
      .createQueryBuilder()
      .update(ApiKey)
      .set(columns as Partial<ApiKey>)
      .where('id = :id', { id })
      .execute();
  }

  /** Removes a key with its secrets. */
  async delete(id: string): Promise<void> {
    await this.manager.query('DELETE FROM api_key WHERE id = $1', [id]);
  }

  /** Whether a key has had a secret, which may have ended. */
  async hasHadSecret(keyId: string): Promise<boolean> {
    const [row] = await this.manager.query<{ is: boolean }[]>(
      'SELECT EXISTS (SELECT FROM api_key_secret WHERE key_id = $1) AS is',
      [keyId],
    );
    return row!.is;
  }

  /** The secrets of a key that work at `now`, newest first. */
  async findLiveSecrets(keyId: string, now: Date): Promise<ApiKeySecret[]> {
    return this.manager
      .createQueryBuilder(ApiKeySecret, 's')
      .where('s.keyId = :keyId AND s.revokedAt IS NULL AND (s.expiresAt IS NULL OR s.expiresAt > :now)', { keyId, now })
      .orderBy('s.createdAt', 'DESC')
      .addOrderBy('s.kid', 'ASC')
      .getMany();
  }

  /**
   * Adds a key with its first secret, in one round trip.
   *
   * @throws QueryFailedError 23505 on `api_key_alias_key` when the alias is taken.
   */
  async insertWithSecret(key: ApiKey, secret: StoredSecret): Promise<void> {
    await inOneTrip(this.manager, [
      keyInsert(this.manager, key, secret.keyPrefix),
      secretInsert(secret, key.createdAt),
    ]);
  }

  /** Adds a secret to a key. By the clock and not the transaction's start: order of locks is order of secrets. */
  async insertSecret(secret: StoredSecret): Promise<void> {
    const { text, values } = secretInsert(secret, null);
    await this.manager.query(text, values);
  }

  /** Notes what a key that was just made spent, and when it and its secret were last used, before it was imported. */
  async carryOver(keyId: string, { spentMicroCents, lastUsedAt }: PastUse): Promise<void> {
    if (spentMicroCents > 0n) await this.carrySpend(keyId, spentMicroCents);
    if (lastUsedAt === null) return;
    await this.manager.query('UPDATE key_totals SET last_used_at = $2 WHERE key_id = $1', [keyId, lastUsedAt]);
    await this.manager.query('UPDATE api_key_secret SET last_used_at = $2 WHERE key_id = $1', [keyId, lastUsedAt]);
  }

  /**
   * Like a cost that was not reserved: charged also beyond the limit, to the month as well where the budget is monthly.
   */
  private async carrySpend(keyId: string, microCents: bigint): Promise<void> {
    await this.manager.query(
      `SELECT quota_open_months(ARRAY[id], ARRAY[quota_month(quota_clock())])
         FROM api_key WHERE id = $1 AND budget_type = 'monthly'`,
      [keyId],
    );
    await this.manager.query(
      `UPDATE budget_account
          SET spent_micro_cents = $2::bigint, carried_micro_cents = $2::bigint,
              overdraft_micro_cents = greatest(0, $2::bigint - coalesce(limit_micro_cents, $2::bigint))
        WHERE key_id = $1`,
      [keyId, microCents.toString()],
    );
  }

  /** Ends secrets at once. */
  async revokeSecrets(kids: readonly string[], at: Date): Promise<void> {
    await this.manager.query('UPDATE api_key_secret SET revoked_at = $2 WHERE kid = ANY($1)', [kids, at]);
  }

  /** Lets a secret work until `at`. */
  async expireSecret(kid: string, at: Date): Promise<void> {
    await this.manager.query('UPDATE api_key_secret SET expires_at = $2 WHERE kid = $1', [kid, at]);
  }
}

/** Whether a statement failed because another key of the owner has the alias. */
export function isAliasTaken(error: unknown): boolean {
  return violatedConstraint(error) === 'api_key_alias_key';
}
