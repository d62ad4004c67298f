import { StartRefusal } from '../../common/start-refusal.js';
import { type ExportRow, isRow, isSet, RowRefusal, rowsOf, textOf, textsOf } from './export-row.js';
import type { KeyDraft } from './key-draft.js';
import type { Source } from './source.js';

const WINDOWS_MS: Readonly<Record<string, number>> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };
const OTHER_WINDOWS = ['second', 'month', 'year'];
/** Plugins of a consumer whose rules the key has here. */
const KNOWN_PLUGINS = ['rate-limiting', 'ip-restriction', 'key-auth', 'acl'];

/**
 * Credentials of Kong's key-auth in what `deck gateway dump --format json` writes: the key in clear, below its
 * consumer.
 *
 * @see docs/migrating.md
 */
export const kong: Source = {
  read(documents) {
    return documents.flatMap((document) => {
      const consumers = isRow(document) ? rowsOf(document['consumers']) : null;
      if (consumers === null)
        throw new StartRefusal(
          'This is no dump of Kong: run `deck gateway dump --format json`. A file of the DB-less form is ' +
            'converted by `deck file format deck --format json`.',
        );
      return consumers.flatMap((consumer) =>
        (rowsOf(consumer['keyauth_credentials']) ?? []).map((credential) => ({ ...credential, consumer })),
      );
    });
  },

  labelOf: (row) => nameOf(row),

  map(row, draft) {
    const key = textOf(row['key']);
    if (key === null) throw new RowRefusal('key is missing: a reference to a vault cannot be imported');
    if (/^\{vault:\/\//.test(key)) throw new RowRefusal('key is a reference to a vault: resolve it first');
    draft.secret(key);
    const consumer = isRow(row['consumer']) ? row['consumer'] : {};
    draft.name(nameOf(row));
    draft.owner = textOf(consumer['custom_id'], consumer['username']);
    const createdAt = row['created_at'];
    if (typeof createdAt === 'number') draft.key.createdAt = new Date(createdAt * 1000).toISOString();
    draft.note('consumer', textOf(consumer['username']));
    draft.note('customId', textOf(consumer['custom_id']));
    const tags = [...new Set([...textsOf(consumer['tags']), ...textsOf(row['tags'])])];
    if (tags.length > 0) draft.key.tags = tags;
    const groups = (rowsOf(consumer['acls']) ?? [])
      .map((acl) => textOf(acl['group']))
      .filter((group) => group !== null);
    if (groups.length > 0) draft.key.scopes = [...new Set(groups)];
    draft.differs(isSet(row['ttl']), 'ttl: the end of the credential is not in the export as an instant');
    draft.differs(isSet(consumer['groups']), 'groups: plugins of consumer groups are not taken');
    mapPlugins(consumer, draft);
  },
};

/** Of a consumer with several keys each has the consumer's name. */
function nameOf(row: ExportRow): string | null {
  return isRow(row['consumer']) ? textOf(row['consumer']['username'], row['consumer']['custom_id']) : null;
}

function mapPlugins(consumer: ExportRow, draft: KeyDraft): void {
  const keys = rowsOf(consumer['keyauth_credentials'])?.length ?? 1;
  for (const plugin of rowsOf(consumer['plugins']) ?? []) {
    const name = textOf(plugin['name']) ?? 'without a name';
    if (plugin['enabled'] === false) continue;
    const config = isRow(plugin['config']) ? plugin['config'] : {};
    if (!KNOWN_PLUGINS.includes(name)) draft.differences.push(`plugin ${name} of the consumer stays with Kong`);
    if (name === 'ip-restriction') mapAddresses(config, draft);
    if (name !== 'rate-limiting') continue;
    draft.differs(
      keys > 1,
      `rate-limiting: ${keys} keys of the consumer share the limit; here each has all of it: make a limit of requests on their owner`,
    );
    for (const [window, ms] of Object.entries(WINDOWS_MS)) draft.limit(`rate-limiting ${window}`, config[window], ms);
    for (const window of OTHER_WINDOWS)
      draft.differs(isSet(config[window]), `rate-limiting ${window}: limits are per minute, hour or day`);
  }
}

function mapAddresses(config: ExportRow, draft: KeyDraft): void {
  const allowed = textsOf(config['allow'] ?? config['whitelist']);
  if (allowed.length > 0) draft.key.allowedIps = [...new Set(allowed)];
  draft.differs(isSet(config['deny'] ?? config['blacklist']), 'ip-restriction deny: only lists of allowed addresses');
}
