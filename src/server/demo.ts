import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { hkdfSync } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import { systemCaller } from '../access/caller.js';
import { type BoundPassword, bindPassword } from '../access/credential-binding.js';
import { ApiKey } from '../api-keys/api-key.entity.js';
import { ApiKeysRepository } from '../api-keys/api-keys.repository.js';
import { auditedKey } from '../api-keys/change/audited-key.js';
import { freshState } from '../api-keys/create/key-creation.js';
import { emptyRules } from '../api-keys/settings/draft.js';
import type { KeyState } from '../api-keys/settings/settings.js';
import { type MintedSecret, macOf, mint, signing } from '../api-keys/secret.js';
import { type ChangeEntry, Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { MICRO_CENTS_PER_CENT } from '../common/money.js';
import type { Config, VersionedKey } from '../config/config.js';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';
import { addDemoLimit } from './demo-limits.js';
import { addDemoVerdicts, reportDemoUsage } from './demo-usage.js';
import { DEMO } from '../openapi/demo-ids.js';
import { auditedProject, type ProjectState } from '../projects/audited-project.js';
import type { Project } from '../projects/project.entity.js';
import { hashPassword } from '../users/password.js';

/** How to get in, for the terminal and nothing else. */
export interface DemoAccess {
  readonly people: readonly { readonly email: string; readonly password: string; readonly role: string }[];
  /** Of a key that may do nothing in Latchkey itself, for the examples of a verify. */
  readonly exampleSecret: string;
  /** Of a service that verifies keys. */
  readonly gatewaySecret: string;
}

interface DemoUser {
  readonly id: string;
  readonly name: string;
  readonly email: string | null;
  readonly role: string;
  readonly managerId?: string;
  readonly isActive?: boolean;
}

type DemoProject = Pick<Project, 'id' | 'name' | 'alias' | 'description'> & Pick<ProjectState, 'members'>;

const PROJECTS: readonly DemoProject[] = [
  {
    id: DEMO.projectId,
    name: 'Invoicing',
    alias: DEMO.alias,
    description: 'Keys of the invoice run',
    members: [{ userId: DEMO.ownerId, role: 'member' }],
  },
  { id: DEMO.emptyProjectId, name: 'Old pilot', alias: null, description: '', members: [] },
];

const USERS: readonly DemoUser[] = [
  { id: DEMO.ownerId, name: 'Ada Lovelace', email: 'ada@example.com', role: 'creator' },
  { id: DEMO.auditorId, name: 'Grace Hopper', email: 'grace@example.com', role: 'auditor' },
  { id: DEMO.formerId, name: 'Former Colleague', email: 'former@example.com', role: 'creator', isActive: false },
  { id: DEMO.serviceId, name: 'Chat gateway', email: null, role: 'gateway', managerId: DEMO.ownerId },
];

const DAY_MS = 86_400_000;

/** What everybody may know of a demo installation is derived, not fixed: no secret works in two installations. */
export function demoAccess(config: Config): DemoAccess {
  const people = USERS.filter(({ email, isActive }) => email !== null && isActive !== false);
  return {
    people: people.map(({ id, email, role }) => ({ email: email!, role, password: passwordOf(config, id) })),
    exampleSecret: secretOf(config, DEMO.clientKid, 'live').secret.reveal(),
    gatewaySecret: secretOf(config, DEMO.gatewayKid, 'live').secret.reveal(),
  };
}

/**
 * Adds the people and keys that the document's examples name, each unless it is there: a second start adds nothing,
 * and what was changed meanwhile stays as it is. One transaction, with an audit entry each.
 *
 * @throws Error when the e-mail address or the role's name of a demo user belongs to another user
 */
export async function addDemoData(app: NestFastifyApplication, config: Config): Promise<void> {
  const passwords = new Map<string, BoundPassword>();
  for (const { id, email } of USERS) {
    if (email !== null) passwords.set(id, bindPassword(config.peppers, id, await hashPassword(passwordOf(config, id))));
  }
  const isNew = await app
    .get(Changes, { strict: false })
    .transaction(systemCaller('demo:add'), async ({ tx, record }) => {
      // Replicas that start at once add the data once.
      await tx.query('SELECT pg_advisory_xact_lock($1)', [ADVISORY_LOCKS.demo]);
      await addRole(tx, record);
      for (const user of USERS) await addUser(tx, record, user, passwords.get(user.id) ?? null);
      for (const project of PROJECTS) await addProject(tx, record, project);
      await addDemoLimit(tx, record, new Date());
      const added = new Set<string>();
      for (const key of demoKeys(new Date())) if (await addKey(tx, record, config, key)) added.add(key.fields.id);
      if (added.has(DEMO.keyId)) await addDemoVerdicts(tx);
      return added.has(DEMO.clientKeyId);
    });
  if (isNew) await reportDemoUsage(app);
}

async function addRole(tx: EntityManager, record: (entry: ChangeEntry) => void): Promise<void> {
  const description = 'Helps customers with their keys.';
  const permissions = ['platform:api-keys:read'];
  const added = await tx.query<unknown[]>(
    'INSERT INTO role (name, description, permissions) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING RETURNING name',
    [DEMO.roleName, description, permissions],
  );
  if (added.length === 0) return;
  const after = { description, permissions, keyPolicy: null, isActive: true };
  record({ resourceType: 'role', resourceId: DEMO.roleName, changes: diff(null, after) });
}

async function addProject(
  tx: EntityManager,
  record: (entry: ChangeEntry) => void,
  { id, name, alias, description, members }: DemoProject,
): Promise<void> {
  const added = await tx.query<unknown[]>(
    'INSERT INTO project (id, name, alias, description) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING id',
    [id, name, alias, description],
  );
  if (added.length === 0) return;
  await tx.query(
    `INSERT INTO project_member (project_id, user_id, role, added_at)
     SELECT $1, m.user_id, m.role, now() FROM unnest($2::uuid[], $3::text[]) AS m (user_id, role)`,
    [id, members.map(({ userId }) => userId), members.map(({ role }) => role)],
  );
  const state = { project: { name, description, alias, isActive: true }, members };
  record({ resourceType: 'project', resourceId: id, changes: diff(null, auditedProject(state)) });
}

async function addUser(
  tx: EntityManager,
  record: (entry: ChangeEntry) => void,
  user: DemoUser,
  password: BoundPassword | null,
): Promise<void> {
  const kind = user.email === null ? 'service' : 'person';
  const added = await tx.query<unknown[]>(
    `INSERT INTO users (id, email, name, kind, password_hash, is_active, password_binding, password_binding_version)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id`,
    [
      user.id,
      user.email,
      user.name,
      kind,
      password?.hash ?? null,
      user.isActive ?? true,
      password?.binding.mac ?? null,
      password?.binding.version ?? null,
    ],
  );
  if (added.length === 0) {
    const [known] = await tx.query<unknown[]>('SELECT 1 FROM users WHERE id = $1', [user.id]);
    if (!known) throw new Error(`The demo data cannot be added: another user has the address ${user.email}.`);
    return;
  }
  await tx.query('INSERT INTO user_role (user_id, role_name) VALUES ($1, $2)', [user.id, user.role]);
  if (user.managerId)
    await tx.query('INSERT INTO user_manager (user_id, manager_id) VALUES ($1, $2)', [user.id, user.managerId]);
  const after = {
    email: user.email,
    name: user.name,
    kind,
    roles: [user.role],
    isActive: user.isActive ?? true,
    managerIds: user.managerId ? [user.managerId] : [],
  };
  record({ resourceType: 'user', resourceId: user.id, changes: diff(null, after) });
}

interface DemoKey {
  readonly fields: Partial<ApiKey> & { id: string; ownerId: string; name: string };
  /** Newest first; the others overlap with it for a week. */
  readonly kids: readonly string[];
}

async function addKey(
  tx: EntityManager,
  record: (entry: ChangeEntry) => void,
  config: Config,
  { fields, kids }: DemoKey,
): Promise<boolean> {
  const [known] = await tx.query<unknown[]>('SELECT 1 FROM api_key WHERE id = $1', [fields.id]);
  if (known) return false;
  const key = Object.assign(new ApiKey(), plainKey(new Date()), fields);
  const keys = new ApiKeysRepository(tx);
  await keys.insert(key);
  const pepper = signing(config.peppers);
  let previous: { previousKid: string; previousSecretExpiresAt: string } | null = null;
  for (const [index, kid] of kids.entries()) {
    const minted = secretOf(config, kid, key.environment);
    const mac = macOf(pepper.key, key.id, minted);
    await keys.insertSecret({
      kid,
      keyId: key.id,
      kind: 'own',
      keyPrefix: minted.keyPrefix,
      mac,
      pepperVersion: String(pepper.version),
      tagVersion: String(signing(config.tagKeys).version),
      binding: null,
    });
    if (index > 0) {
      const [[secret]] = await tx.query<[{ until: Date }[], number]>(
        `UPDATE api_key_secret SET created_at = created_at - interval '30 days', expires_at = date_trunc('milliseconds', now()) + interval '7 days'
          WHERE kid = $1 RETURNING expires_at AS until`,
        [kid],
      );
      previous = { previousKid: kid, previousSecretExpiresAt: secret!.until.toISOString() };
    }
  }
  record({
    resourceType: 'api-key',
    resourceId: key.id,
    changes: diff(null, auditedKey(key)),
    details: { kid: kids[0], ...previous },
  });
  return true;
}

function plainKey(now: Date): Omit<KeyState, 'id' | 'ownerId' | 'name'> {
  return { ...emptyRules('live'), ...freshState(now) };
}

/** One key for each thing there is to see. */
function demoKeys(now: Date): DemoKey[] {
  const inDays = (days: number) => new Date(now.getTime() + days * DAY_MS);
  return [
    {
      kids: [DEMO.kid, DEMO.previousKid],
      fields: {
        id: DEMO.keyId,
        ownerId: DEMO.ownerId,
        projectId: DEMO.projectId,
        alias: DEMO.alias,
        name: 'Billing service',
        description: 'Used by the nightly invoice run',
        scopes: ['chat:write'],
        rateLimitPerMinute: 60,
        rateLimitPerHour: 1000,
        rateLimitPerDay: 10_000,
        allowedIps: ['203.0.113.0/24', '2001:db8::/32'],
        allowedModels: ['gpt-4o*', 'claude-sonnet-5'],
        allowedChatbots: ['support-bot'],
        budgetLimitMicroCents: 500n * MICRO_CENTS_PER_CENT,
        budgetType: 'monthly',
        tags: ['team:billing'],
        metadata: { costCentre: '4711' },
        expiresAt: inDays(365),
        validityDays: 30,
      },
    },
    {
      kids: [DEMO.clientKid],
      fields: {
        id: DEMO.clientKeyId,
        ownerId: DEMO.ownerId,
        name: 'Chat client',
        description: 'A key to verify',
        scopes: ['chat:write'],
        rateLimitPerMinute: 60,
        budgetLimitMicroCents: 500n * MICRO_CENTS_PER_CENT,
        budgetType: 'monthly',
        tags: ['team:support'],
      },
    },
    {
      kids: [DEMO.gatewayKid],
      fields: {
        id: DEMO.gatewayKeyId,
        ownerId: DEMO.serviceId,
        name: 'Chat gateway',
        roles: ['gateway'],
        tags: ['team:platform'],
      },
    },
    {
      kids: ['9aB3cD5eF7gH1j'],
      fields: {
        id: DEMO.revokedKeyId,
        ownerId: DEMO.ownerId,
        name: 'Leaked in a log',
        createdAt: inDays(-90),
        revokedAt: inDays(-2),
        revokedReason: 'Found in a public repository',
        tags: ['team:billing'],
      },
    },
    {
      kids: ['3kL6mN8pQ2rS4t'],
      fields: {
        id: DEMO.deactivatedKeyId,
        ownerId: DEMO.ownerId,
        name: 'Paused experiment',
        isActive: false,
        deactivatedAt: inDays(-1),
        deactivatedBy: DEMO.ownerId,
        expiresAt: inDays(30),
      },
    },
    {
      kids: ['5uV7wX9yZ1aB3c'],
      fields: {
        id: DEMO.expiredKeyId,
        ownerId: DEMO.ownerId,
        name: 'Workshop in spring',
        environment: 'test',
        createdAt: inDays(-60),
        expiresAt: inDays(-30),
      },
    },
    {
      kids: ['6dE8fG2hJ4kL5m'],
      fields: { id: DEMO.ownerlessKeyId, ownerId: DEMO.formerId, name: 'Of a person who left', scopes: ['chat:write'] },
    },
  ];
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** The secret of a given kid in this installation: the minter's own work, fed with bytes that are not random. */
function secretOf(config: Config, kid: string, environment: 'live' | 'test'): MintedSecret {
  const kidNumber = [...kid].reduce((number, digit) => number * 62n + BigInt(BASE62.indexOf(digit)), 0n);
  const kidBytes = Buffer.from(kidNumber.toString(16).padStart(32, '0'), 'hex');
  const bytes = Buffer.concat([kidBytes, derived(config, `secret ${kid}`, 32)]);
  return mint({ prefix: config.apiKeyPrefix, environment, tagKeys: config.tagKeys, randomBytes: () => bytes });
}

function passwordOf(config: Config, userId: string): string {
  return derived(config, `password ${userId}`, 12).toString('base64url');
}

function derived(config: Config, purpose: string, length: number): Buffer {
  return Buffer.from(hkdfSync('sha256', oldestOf(config.peppers).key, '', `latchkey demo ${purpose}`, length));
}

/** The pepper the data were made with stays while they need it, and what a later start prints must still be true. */
function oldestOf(peppers: readonly VersionedKey[]): VersionedKey {
  return [...peppers].sort((a, b) => Number(a.version) - Number(b.version))[0]!;
}
