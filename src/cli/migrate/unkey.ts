import { StartRefusal } from '../../common/start-refusal.js';
import {
  type ExportRow,
  flagOf,
  instantOf,
  isRow,
  isSet,
  RowRefusal,
  rowsOf,
  structureOf,
  textOf,
  textsOf,
} from './export-row.js';
import type { KeyDraft } from './key-draft.js';
import type { Source } from './source.js';

/**
 * Keys of Unkey: answers of `/v2/apis.listKeys` with `decrypt: true`, which have the key in clear where it is
 * recoverable; or rows of the table `keys` of an installation of one's own, whose `hash` is the SHA-256 in base64.
 *
 * @see docs/migrating.md
 */
export const unkey: Source = {
  read(documents) {
    const last = documents.at(-1);
    const pagination = isRow(last) ? last['pagination'] : null;
    if (isRow(pagination) && pagination['hasMore'] === true)
      throw new StartRefusal('The last page says hasMore: name the files of all pages of apis.listKeys, in order.');
    return documents.flatMap((document) => rowsOf(isRow(document) ? document['data'] : document) ?? missing());
  },

  labelOf: (row) => textOf(row['name'], row['start'], row['keyId'], row['id']),

  map(row, draft) {
    if (isSet(row['deleted_at_m'])) throw new RowRefusal('the key was deleted there');
    const plaintext = textOf(row['plaintext']);
    if (plaintext !== null) draft.secret(plaintext);
    else if (isSet(row['hash'])) draft.hash('hash', row['hash']);
    else
      throw new RowRefusal('the key is not recoverable and its hash is not exported: issue a new key to this client');
    const start = textOf(row['start']);
    if (start !== null || plaintext === null) draft.prefix(start);
    draft.name(textOf(row['name']));
    const identity = row['identity'];
    draft.owner = textOf(isRow(identity) ? identity['externalId'] : null, row['externalId'], row['owner_id']);
    draft.key.isActive = flagOf(row['enabled']) ?? true;
    draft.key.expiresAt = instantOf('expires', row['expires']);
    const createdAt = instantOf('createdAt', row['createdAt'] ?? row['created_at_m']);
    if (createdAt !== null) draft.key.createdAt = createdAt;
    const lastUsedAt = instantOf('lastUsedAt', row['lastUsedAt'] ?? row['last_used_at']);
    if (lastUsedAt !== null && lastUsedAt > new Date(0).toISOString()) draft.key.lastUsedAt = lastUsedAt;
    draft.metadata(row['meta']);
    const left = plaintext === null ? JOINED.filter((list) => row[list] === undefined) : [];
    draft.differs(
      left.length > 0,
      `${left.join(', ')}: not in the export; docs/migrating.md has the statement with them`,
    );
    mapRights(row, draft);
    mapLimits(row, draft);
  },
};

function missing(): never {
  throw new StartRefusal(
    'This is no export of Unkey: {"data": […]} of /v2/apis.listKeys, or a list of rows of the table keys, is needed.',
  );
}

/** Lists that Unkey keeps in tables of their own: an export of the table `keys` alone has none of them. */
const JOINED = ['ratelimits', 'permissions', 'roles'];

function mapRights(row: ExportRow, draft: KeyDraft): void {
  const scopes = textsOf(row['permissions']);
  if (scopes.length > 0) draft.key.scopes = [...new Set(scopes)];
  draft.differs(
    isSet(row['roles']),
    'roles: permissions that come from roles are not taken; give the key the scopes of its roles',
  );
}

function mapLimits(row: ExportRow, draft: KeyDraft): void {
  for (const limit of rowsOf(structureOf(row['ratelimits'])) ?? []) {
    const name = textOf(limit['name']) ?? 'default';
    const isApplied = flagOf(limit['autoApply'] ?? limit['auto_apply']) === true;
    if (isApplied) draft.limit(`ratelimits ${name}`, limit['limit'], Number(limit['duration']));
    else draft.differences.push(`ratelimits ${name}: limits that a verify chooses by name do not exist here`);
  }
  draft.limit('ratelimit_limit', row['ratelimit_limit'], Number(row['ratelimit_duration']));
  const credits = row['credits'];
  const remaining = isRow(credits) ? credits['remaining'] : row['remaining_requests'];
  draft.differs(
    remaining !== undefined && remaining !== null,
    `credits: a number of uses (${Number(remaining)} left) does not exist here; use a budget in cents`,
  );
}
