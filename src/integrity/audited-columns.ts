import { API_KEY_FIELDS } from '../../packages/contract/src/api-key-fields.js';

/** How a column of a row that the trail tells of is compared with it. */
export type ColumnRule = { readonly field: string } | { readonly check: string } | { readonly excluded: string };

const field = (name: string): ColumnRule => ({ field: name });
const check = (what: string): ColumnRule => ({ check: what });
const excluded = (reason: string): ColumnRule => ({ excluded: reason });

const NAMES_THE_ROW = check('the trail knows a row of this name, and it has not been deleted there');
const CREATED = excluded('Tells when the row was made, and decides nothing; an import brings it along.');
const UPDATED = excluded('Follows each change; decides nothing.');
const GENERATED = excluded('PostgreSQL calculates it from other columns, for lists.');
const IDENTITY = check('as the entry of the provisioning names it; null for a local account');
const OVERRIDE = check('as the entries about the override of this member say');
const BOUND = check('bound to its row by a secret outside the database');

/** The columns of the fields of a key that its maker decides. */
const FIELD_COLUMNS = Object.fromEntries(
  Object.entries(API_KEY_FIELDS).flatMap(([name, { column, isAudited }]) =>
    column !== null && isAudited ? [[column, field(name)]] : [],
  ),
);

/**
 * Every column of the tables that say who may do what, and how an edit of it is noticed: as a field of the audit trail,
 * by a check of its own, or not at all, with the reason. A contract test holds this list against the schema.
 */
export const AUDITED_COLUMNS: Readonly<Record<string, Readonly<Record<string, ColumnRule>>>> = {
  api_key: {
    id: NAMES_THE_ROW,
    owner_id: field('ownerId'),
    project_id: field('projectId'),
    is_active: field('isActive'),
    deactivated_at: field('deactivatedAt'),
    deactivated_by: field('deactivatedBy'),
    max_expires_at: field('maxExpiresAt'),
    hand_over_by: field('handOverBy'),
    hand_over_until: field('handOverUntil'),
    hand_over_overlap_seconds: field('handOverOverlapSeconds'),
    ...FIELD_COLUMNS,
    last_budget_type: field('lastBudgetType'),
    revoked_at: field('revokedAt'),
    revoked_reason: field('revokedReason'),
    created_at: CREATED,
    updated_at: UPDATED,
    search_text: GENERATED,
    secret_prefixes: excluded('A trigger copies it from the secrets, for searches and lists; decides nothing.'),
    ordinal: excluded('Numbers the rows for lists; decides nothing.'),
  },
  api_key_secret: {
    kid: check('the trail names the secret as one of this key'),
    key_id: check('the trail names the secret as one of this key'),
    kind: excluded('Another kind is looked up and proven in another way, and proves nothing.'),
    key_prefix: excluded('Is shown and searched; decides nothing.'),
    mac: excluded('Contains the id of the key and the kid, under a pepper; that of an imported secret is bound.'),
    binding: BOUND,
    pepper_version: excluded('With another pepper the MAC fits nothing.'),
    tag_version: excluded('Says which tag key is still needed; decides nothing at a verify.'),
    created_at: CREATED,
    last_used_at: excluded('Traffic writes it.'),
    expires_at: check('no later than the overlap that the trail names'),
    revoked_at: check('set where the trail says that the secret has ended'),
  },
  users: {
    id: NAMES_THE_ROW,
    email: field('email'),
    name: field('name'),
    kind: field('kind'),
    is_active: field('isActive'),
    max_active_keys: field('maxActiveKeys'),
    oidc_issuer: IDENTITY,
    oidc_subject: IDENTITY,
    deleted_at: check('set where the trail says that the user was deleted, and only there'),
    erased_at: check('set where the trail says that the person was erased, and only there'),
    password_hash: BOUND,
    password_binding: BOUND,
    password_binding_version: BOUND,
    created_at: CREATED,
    updated_at: UPDATED,
    last_sign_in_at: excluded('Each sign-in writes it, which is an entry of its own.'),
    oidc_issued_at: excluded('Follows the tokens of the identity provider; an older one changes nothing.'),
    oidc_roles: excluded('What the claim gave last; the roles themselves are compared.'),
    email_verified: excluded('Is shown beside the address, and decides nothing.'),
    password_is_temporary: excluded('Asks the person of a right password for another one; it opens nothing.'),
    previous_password_hash: excluded('No sign-in takes it: it is what a new password must not be.'),
    notices_seen_seq: excluded('How far the person has read; decides nothing.'),
  },
  user_role: { user_id: field('roles'), role_name: field('roles') },
  user_manager: { user_id: field('managerIds'), manager_id: field('managerIds') },
  project: {
    id: NAMES_THE_ROW,
    name: field('name'),
    alias: field('alias'),
    description: field('description'),
    is_active: field('isActive'),
    created_at: CREATED,
    updated_at: UPDATED,
  },
  project_member: {
    project_id: field('memberIds'),
    user_id: field('memberIds'),
    role: field('adminIds'),
    added_at: excluded('Is shown; decides nothing.'),
  },
  quota_limit: {
    id: NAMES_THE_ROW,
    name: field('name'),
    alias: field('alias'),
    description: field('description'),
    unit: field('unit'),
    per: field('per'),
    amount: field('amount'),
    time_zone: field('timeZone'),
    target_kind: field('targetKind'),
    target_id: field('targetId'),
    each: field('each'),
    models: field('models'),
    mode: field('mode'),
    counts_from: excluded('Is shown; decides nothing.'),
    ended_at: check('set where the trail says that the limit has ended, and only there'),
    created_at: CREATED,
    updated_at: UPDATED,
  },
  quota_limit_override: {
    limit_id: OVERRIDE,
    member_id: OVERRIDE,
    amount: OVERRIDE,
    until: OVERRIDE,
    reason: OVERRIDE,
  },
  role: {
    name: NAMES_THE_ROW,
    description: field('description'),
    permissions: field('permissions'),
    key_policy: field('keyPolicy'),
    is_active: field('isActive'),
    is_seeded: excluded('Is shown; decides nothing.'),
    created_at: CREATED,
    updated_at: UPDATED,
  },
};
