import { StartRefusal } from '../../common/start-refusal.js';
import { flagOf, instantOf, isRow, isSet, rowsOf, structureOf, textOf, textsOf } from './export-row.js';
import type { Source } from './source.js';

/**
 * Keys of better-auth's plugin api-key: rows of its table `apikey` as JSON. `key` is the SHA-256 of the key in
 * base64url.
 *
 * @see docs/migrating.md
 */
export const betterAuth: Source = {
  read(documents) {
    return documents.flatMap((document) => {
      const rows = rowsOf(document);
      if (rows === null)
        throw new StartRefusal('This is no export of better-auth: a list of rows of its table apikey is needed.');
      return rows;
    });
  },

  labelOf: (row) => textOf(row['name'], row['start'], row['id']),

  map(row, draft) {
    draft.hash('key', row['key']);
    draft.prefix(textOf(row['start'], row['prefix']));
    draft.name(textOf(row['name']));
    draft.owner = textOf(row['referenceId'], row['userId']);
    draft.key.isActive = flagOf(row['enabled']) ?? true;
    draft.key.expiresAt = instantOf('expiresAt', row['expiresAt']);
    const createdAt = instantOf('createdAt', row['createdAt']);
    if (createdAt !== null) draft.key.createdAt = createdAt;
    const lastUsedAt = instantOf('lastRequest', row['lastRequest']);
    if (lastUsedAt !== null) draft.key.lastUsedAt = lastUsedAt;
    draft.metadata(structureOf(row['metadata']));
    draft.note('configId', row['configId']);
    const scopes = scopesOf(structureOf(row['permissions']));
    if (scopes.length > 0) draft.key.scopes = scopes;
    if (flagOf(row['rateLimitEnabled']) === true)
      draft.limit('rateLimitMax', row['rateLimitMax'], Number(row['rateLimitTimeWindow']));
    const remaining = row['remaining'];
    draft.differs(
      remaining !== undefined && remaining !== null,
      `remaining: a number of uses (${Number(remaining)} left) does not exist here; use a budget in cents`,
    );
    draft.loses(isSet(row['refillInterval']), 'refillInterval, refillAmount: they refill remaining');
  },
};

/** `{"files": ["read"]}` as `files:read`. */
function scopesOf(permissions: unknown): string[] {
  if (!isRow(permissions)) return [];
  return Object.entries(permissions).flatMap(([resource, acts]) => textsOf(acts).map((act) => `${resource}:${act}`));
}
