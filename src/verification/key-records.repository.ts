import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { grantsOfKey } from '../access/grants.reader.js';
import type { BudgetType } from '../api-keys/api-key.entity.js';
import { type Cidr, parseCidr } from '../common/address.js';
import type { KeyRecord } from './key-record.js';

interface RecordRow {
  kid: string;
  key_id: string;
  kind: 'own' | 'imported';
  mac: Buffer;
  pepper_version: string;
  secret_revoked_at: Date | null;
  secret_expires_at: Date | null;
  environment: 'live' | 'test';
  name: string;
  owner_id: string;
  owner_is_active: boolean;
  is_active: boolean;
  revoked_at: Date | null;
  expires_at: Date | null;
  scopes: string[];
  roles: string[];
  tags: string[];
  metadata: Record<string, string>;
  allowed_ips: string[];
  allowed_models: string[];
  allowed_chatbots: string[];
  rate_limit_per_minute: number | null;
  rate_limit_per_hour: number | null;
  rate_limit_per_day: number | null;
  budget_limit_micro_cents: string | null;
  budget_type: BudgetType | null;
  role_grants: string[] | null;
  owner_grants: string[] | null;
}

const RECORD = `
  SELECT s.kid, s.key_id, s.kind, s.mac, s.pepper_version, s.revoked_at AS secret_revoked_at, s.expires_at AS secret_expires_at,
         k.environment, k.name, k.owner_id, u.is_active AND u.deleted_at IS NULL AS owner_is_active, k.is_active, k.revoked_at,
         k.expires_at, k.scopes, k.roles, k.tags, k.metadata, k.allowed_ips, k.allowed_models, k.allowed_chatbots,
         k.rate_limit_per_minute, k.rate_limit_per_hour, k.rate_limit_per_day, k.budget_limit_micro_cents, k.budget_type,
         (SELECT array_agg(DISTINCT p) FROM role r, unnest(r.permissions) p WHERE r.name = ANY(k.roles) AND r.is_active) AS role_grants,
         (SELECT array_agg(DISTINCT p) FROM user_role ur JOIN role r ON r.name = ur.role_name, unnest(r.permissions) p
           WHERE ur.user_id = k.owner_id AND r.is_active) AS owner_grants
    FROM api_key_secret s JOIN api_key k ON k.id = s.key_id JOIN users u ON u.id = k.owner_id`;

/** Reads records for decisions. The only reader of MACs. */
@Injectable()
export class KeyRecordsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The record of a secret made here, or null. */
  async findByKid(kid: string): Promise<KeyRecord | null> {
    const [row] = await this.manager.query<RecordRow[]>(`${RECORD} WHERE s.kid = $1 AND s.kind = 'own'`, [kid]);
    return row ? recordOf(row) : null;
  }

  /** The record of an imported secret under any of the given MACs (one a pepper), or null. */
  async findByImportedMac(macs: readonly Buffer[]): Promise<KeyRecord | null> {
    const [row] = await this.manager.query<RecordRow[]>(`${RECORD} WHERE s.mac = ANY($1) AND s.kind = 'imported'`, [macs]);
    return row ? recordOf(row) : null;
  }

  /** The record of a key by its id, under its newest secret, or null. */
  async findByKeyId(keyId: string): Promise<KeyRecord | null> {
    const [row] = await this.manager.query<RecordRow[]>(
      `${RECORD} WHERE k.id = $1 ORDER BY s.revoked_at IS NOT NULL, s.created_at DESC LIMIT 1`,
      [keyId],
    );
    return row ? recordOf(row) : null;
  }
}

function recordOf(row: RecordRow): KeyRecord {
  return {
    keyId: row.key_id,
    kid: row.kid,
    kind: row.kind,
    mac: row.mac,
    pepperVersion: row.pepper_version,
    environment: row.environment,
    secretRevokedAt: row.secret_revoked_at,
    secretExpiresAt: row.secret_expires_at,
    name: row.name,
    ownerId: row.owner_id,
    ownerIsActive: row.owner_is_active,
    isActive: row.is_active,
    revokedAt: row.revoked_at,
    expiresAt: row.expires_at,
    scopes: row.scopes,
    roles: row.roles,
    tags: row.tags,
    metadata: row.metadata,
    allowedIps: row.allowed_ips.map(storedCidr),
    allowedModels: row.allowed_models,
    allowedChatbots: row.allowed_chatbots,
    rateLimitPerMinute: row.rate_limit_per_minute,
    rateLimitPerHour: row.rate_limit_per_hour,
    rateLimitPerDay: row.rate_limit_per_day,
    budgetLimitMicroCents: row.budget_limit_micro_cents === null ? null : BigInt(row.budget_limit_micro_cents),
    budgetType: row.budget_type,
    grants: grantsOfKey(row.role_grants ?? [], row.owner_grants ?? []),
  };
}

/** A stored entry was checked when it came in; one that does not parse must not open the list. */
function storedCidr(entry: string): Cidr {
  const cidr = parseCidr(entry);
  if (cidr === null) throw new Error('A stored address list has an entry that is no address.');
  return cidr;
}
