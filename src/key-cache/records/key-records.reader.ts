import { Injectable } from '@nestjs/common';
import { type Cidr, parseCidr } from '../../../packages/contract/src/address.js';
import { limitsOf } from '../../quotas/key-limits.js';
import { type LimitFacts, type LimitTarget, NO_LIMITS } from '../../quotas/limits/limit-facts.js';
import type { KeyFacts, KeyRecord, OwnerFacts, ProjectFacts, RoleFacts, SecretFacts } from './key-record.js';
import { SharedValues } from './shared-values.js';
import { LookupResult, type LoadedRows, type Wanted } from './loaded-records.js';
import { DataPlaneConnections } from '../data-plane-connections.js';

/** Nobody waits longer for one statement. */
const STATEMENT_TIMEOUT_MS = 1_000;

/** `date_part` gives seconds; what is stored finer than a millisecond counts as the millisecond it lies in. */
const unixMs = (column: string) => `floor(extract(epoch FROM ${column}) * 1000)`;

/** A key as the statement gives it. */
type StoredKey = Omit<KeyFacts, 'allowedIps' | 'budgetLimitMicroCents' | 'limits' | 'limitsOfKey'> & {
  allowedIps: string[];
  budgetLimitMicroCents: string | null;
  limitsOfKey: LimitFacts[] | null;
};

/** Limits of one target, as a replica remembers them; null: none. */
const limitsOfTarget = (kind: LimitTarget, id: string | null) => `(
  SELECT json_agg(json_build_object('id', l.id, 'name', l.name, 'target', l.target_kind, 'unit', l.unit, 'per', l.per, 'each', l.each,
           'models', l.models, 'observes', l.mode = 'observe') ORDER BY l.id)
    FROM quota_limit l
   WHERE l.target_kind = '${kind}' AND ${id === null ? 'true' : `l.target_id = ${id}`} AND l.ended_at IS NULL)`;

/** Where the statement takes each member of a key from. */
const KEY_MEMBERS: Readonly<Record<keyof StoredKey, string>> = {
  id: 'id',
  environment: 'environment',
  verifiesEnvironment: 'verifies_environment',
  name: 'name',
  ownerId: 'owner_id',
  projectId: 'project_id',
  isActive: 'is_active',
  revokedAtMs: unixMs('revoked_at'),
  expiresAtMs: unixMs('expires_at'),
  scopes: 'scopes',
  roles: 'roles',
  tags: 'tags',
  metadata: 'metadata',
  allowedIps: 'allowed_ips',
  allowedModels: 'allowed_models',
  allowedChatbots: 'allowed_chatbots',
  rateLimitPerMinute: 'rate_limit_per_minute',
  rateLimitPerHour: 'rate_limit_per_hour',
  rateLimitPerDay: 'rate_limit_per_day',
  budgetLimitMicroCents: 'budget_limit_micro_cents::text',
  budgetType: 'budget_type',
  defaultReserveTokens: 'default_reserve_tokens',
  limitsOfKey: limitsOfTarget('key', 'k.id'),
};

const KEY_AS_JSON = `json_build_object(${Object.entries(KEY_MEMBERS)
  .map(([member, value]) => `'${member}', ${value}`)
  .join(', ')})`;

/**
 * Everything a decision about the wanted secrets needs, and the change head, in one snapshot. Of a key's other secrets
 * those come along that are good, so that two of them in an overlap do not push each other out of the cache.
 */
const LOAD = `
  WITH wanted AS MATERIALIZED (
    SELECT kid, key_id FROM api_key_secret WHERE kid = ANY($1::text[]) AND kind = 'own'
    UNION ALL
    SELECT kid, key_id FROM api_key_secret WHERE mac = ANY($2::bytea[]) AND kind = 'imported'
    UNION ALL
    SELECT newest.kid, newest.key_id FROM unnest($3::uuid[]) AS asked (id), LATERAL (
      SELECT kid, key_id FROM api_key_secret WHERE key_id = asked.id ORDER BY revoked_at IS NOT NULL, created_at DESC LIMIT 1) AS newest
  ), k AS MATERIALIZED (
    SELECT * FROM api_key WHERE id IN (SELECT key_id FROM wanted)
  ), s AS MATERIALIZED (
    SELECT * FROM api_key_secret WHERE key_id IN (SELECT id FROM k)
       AND ((revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())) OR kid IN (SELECT kid FROM wanted))
  ), o AS MATERIALIZED (
    SELECT id, is_active AND deleted_at IS NULL AS is_active,
           ARRAY(SELECT role_name FROM user_role WHERE user_id = users.id ORDER BY 1) AS roles,
           ${limitsOfTarget('owner', 'users.id')} AS limits
      FROM users WHERE id IN (SELECT owner_id FROM k)
  ), p AS MATERIALIZED (
    SELECT named.id, coalesce(project.is_active, false) AS is_active, ${limitsOfTarget('project', 'named.id')} AS limits
      FROM (SELECT DISTINCT project_id FROM k WHERE project_id IS NOT NULL) AS named (id) LEFT JOIN project USING (id)
  ), r AS MATERIALIZED (
    SELECT named.name, coalesce(role.is_active, false) AS is_active, coalesce(role.permissions, '{}') AS permissions
      FROM (SELECT unnest(roles) FROM k UNION SELECT unnest(roles) FROM o) AS named (name) LEFT JOIN role USING (name)
  )
  SELECT head.seq, head.epoch,
         (SELECT json_agg(json_build_object(
            'kid', kid, 'keyId', key_id, 'kind', kind, 'mac', encode(mac, 'hex'), 'pepperVersion', pepper_version,
            'binding', encode(binding, 'hex'),
            'createdAtMs', ${unixMs('created_at')},
            'revokedAtMs', ${unixMs('revoked_at')}, 'expiresAtMs', ${unixMs('expires_at')},
            'lastUsedAtMs', ${unixMs('last_used_at')})) FROM s) AS secrets,
         (SELECT json_agg(${KEY_AS_JSON}) FROM k) AS keys,
         (SELECT json_agg(json_build_object('id', id, 'isActive', is_active, 'roles', roles, 'limits', limits)) FROM o) AS owners,
         (SELECT json_agg(json_build_object('id', id, 'isActive', is_active, 'limits', limits)) FROM p) AS projects,
         ${limitsOfTarget('installation', null)} AS installation,
         (SELECT json_agg(json_build_object('name', name, 'isActive', is_active, 'permissions', permissions)) FROM r) AS roles
    FROM change_head head`;

type Stored<T, Changed extends object> = Omit<T, keyof Changed> & Changed;

type StoredSecret = Stored<SecretFacts, { mac: string; binding: string | null }>;

interface StoredLimits {
  limits: LimitFacts[] | null;
}

interface LoadRow {
  seq: string;
  epoch: string;
  secrets: StoredSecret[] | null;
  keys: StoredKey[] | null;
  owners: Stored<OwnerFacts, StoredLimits>[] | null;
  projects: Stored<ProjectFacts, StoredLimits>[] | null;
  installation: LimitFacts[] | null;
  roles: RoleFacts[] | null;
}

/** Reads records for decisions, on connections of their own. The only reader of MACs. */
@Injectable()
export class KeyRecordsReader {
  private readonly texts = new SharedValues<string>();
  private readonly lists = new SharedValues<readonly string[]>();
  private readonly networks = new SharedValues<readonly Cidr[]>();
  private readonly limitLists = new SharedValues<readonly LimitFacts[]>();
  private readonly metadata = new SharedValues<Readonly<Record<string, string>>>();

  constructor(private readonly connections: DataPlaneConnections) {}

  /** Everything about the wanted secrets, in one statement. @throws when there is no answer within `timeoutMs`. */
  async load(wanted: Wanted, timeoutMs: number): Promise<LoadedRows> {
    return this.read([wanted.kids, wanted.macs, []], timeoutMs);
  }

  /** The record of a key by its id, under its newest secret, read from the database; null when there is none. */
  async findByKeyId(keyId: string): Promise<KeyRecord | null> {
    const loaded = new LookupResult(await this.read([[], [], [keyId]], STATEMENT_TIMEOUT_MS));
    return loaded.findByKeyId(keyId);
  }

  private async read(values: unknown[], timeoutMs: number): Promise<LoadedRows> {
    const [row] = await this.connections
      .reader()
      .query<LoadRow>({ name: 'load-records', text: LOAD, values }, timeoutMs);
    if (!row) throw new Error('The change head is missing: the schema is damaged.');
    const keys = (row.keys ?? []).map((key) => this.keyOf(key));
    const ids = new Map(keys.map(({ id }) => [id, id]));
    return {
      seq: BigInt(row.seq),
      epoch: row.epoch,
      secrets: (row.secrets ?? []).map((secret) => this.secretOf(secret, ids)),
      keys,
      owners: (row.owners ?? []).map(({ id, isActive, roles, limits }) => ({
        ...{ id, isActive, roles },
        limits: this.limits(limits),
      })),
      roles: row.roles ?? [],
      projects: (row.projects ?? []).map(({ id, isActive, limits }) => ({ id, isActive, limits: this.limits(limits) })),
      installation: this.limits(row.installation),
    };
  }

  // Written out member by member: copied by spreading, each record would get a shape of its own, which costs more
  // memory than the record and makes every read of it slow.

  private secretOf(stored: StoredSecret, ids: ReadonlyMap<string, string>): SecretFacts {
    return {
      kid: stored.kid,
      keyId: ids.get(stored.keyId) ?? stored.keyId,
      kind: stored.kind,
      mac: Buffer.from(stored.mac, 'hex'),
      pepperVersion: this.text(stored.pepperVersion),
      binding: stored.binding === null ? null : Buffer.from(stored.binding, 'hex'),
      createdAtMs: stored.createdAtMs,
      revokedAtMs: stored.revokedAtMs,
      expiresAtMs: stored.expiresAtMs,
      lastUsedAtMs: stored.lastUsedAtMs,
    };
  }

  private keyOf(stored: StoredKey): KeyFacts {
    const budgetLimitMicroCents = stored.budgetLimitMicroCents === null ? null : BigInt(stored.budgetLimitMicroCents);
    return {
      id: stored.id,
      environment: stored.environment,
      verifiesEnvironment: stored.verifiesEnvironment,
      name: stored.name,
      ownerId: this.text(stored.ownerId),
      projectId: stored.projectId === null ? null : this.text(stored.projectId),
      isActive: stored.isActive,
      revokedAtMs: stored.revokedAtMs,
      expiresAtMs: stored.expiresAtMs,
      scopes: this.list(stored.scopes),
      roles: this.list(stored.roles),
      tags: this.list(stored.tags),
      metadata: this.metadata.share(JSON.stringify(stored.metadata), () => stored.metadata),
      allowedIps: this.networks.share(JSON.stringify(stored.allowedIps), () => stored.allowedIps.map(storedCidr)),
      allowedModels: this.list(stored.allowedModels),
      allowedChatbots: this.list(stored.allowedChatbots),
      rateLimitPerMinute: stored.rateLimitPerMinute,
      rateLimitPerHour: stored.rateLimitPerHour,
      rateLimitPerDay: stored.rateLimitPerDay,
      budgetLimitMicroCents,
      budgetType: stored.budgetType,
      defaultReserveTokens: stored.defaultReserveTokens,
      limits: limitsOf({
        id: stored.id,
        rateLimitPerMinute: stored.rateLimitPerMinute,
        rateLimitPerHour: stored.rateLimitPerHour,
        rateLimitPerDay: stored.rateLimitPerDay,
        budgetLimitMicroCents,
        budgetType: stored.budgetType,
      }),
      limitsOfKey: this.limits(stored.limitsOfKey),
    };
  }

  private text(text: string): string {
    return this.texts.share(text, () => text);
  }

  private limits(limits: readonly LimitFacts[] | null): readonly LimitFacts[] {
    return limits === null ? NO_LIMITS : this.limitLists.share(JSON.stringify(limits), () => limits);
  }

  private list(list: readonly string[]): readonly string[] {
    return this.lists.share(JSON.stringify(list), () => list);
  }
}

/** A stored entry was checked when it came in; one that does not parse must not open the list. */
function storedCidr(entry: string): Cidr {
  const cidr = parseCidr(entry);
  if (cidr === null) throw new Error('A stored address list has an entry that is no address.');
  return cidr;
}
