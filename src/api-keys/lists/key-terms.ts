/** Keys of a batch, by order of creation: `ordinal >> 17` in the database's `api_key_terms`. */
const BATCH_KEYS = 131_072;

/** An ordinal of each batch, newest first. */
const BATCHES = `generate_series((SELECT last_value FROM api_key_ordinal_seq), 0, -${BATCH_KEYS}) AS batch (ordinal)`;

/** As the index has it. */
const TERMS_OF_KEY =
  'api_key_terms(ordinal, ARRAY[owner_id], tags, scopes, revoked_at IS NOT NULL, is_active, search_text)';

/** What is looked for among the terms of keys, as SQL expressions; absent: it does not matter. */
export interface LookedFor {
  /** Of type `uuid`. */
  readonly owner?: string | undefined;
  /** Of type `uuid[]`: one of them. */
  readonly anyOwner?: string | undefined;
  /** Of type `text[]`: all of them. */
  readonly tags?: string | undefined;
  readonly scopes?: string | undefined;
  readonly isRevoked: boolean;
  readonly isSwitchedOff: boolean;
  /** Of type `text`, in lower case: one of them. */
  readonly texts?: readonly string[] | undefined;
}

/**
 * The condition that finds, within a batch, the keys that have what is looked for, and perhaps some that do not: terms
 * are hashes, and a key that has every three letters of a text need not have the text.
 */
export function termsCondition({ owner, anyOwner, tags, scopes, isRevoked, isSwitchedOff, texts }: LookedFor): string {
  const owners = owner === undefined ? 'NULL' : `ARRAY[${owner}]`;
  const having = (text: string) =>
    `${TERMS_OF_KEY} @> api_key_terms(batch.ordinal, ${owners}, ${tags ?? 'NULL'}, ${scopes ?? 'NULL'}, ${isRevoked}, ${!isSwitchedOff}, ${text})`;
  const each = (texts ?? ['NULL']).map(having);
  const all = each.length === 1 ? each[0]! : `(${each.join(' OR ')})`;
  return anyOwner === undefined
    ? all
    : `${all} AND ${TERMS_OF_KEY} && api_key_terms(batch.ordinal, ${anyOwner}, NULL, NULL, NULL, NULL, NULL)`;
}

/**
 * The rows that `select` makes of the keys `k` found by terms, one batch after the other, newest batch first; who stops
 * reading after enough of them spares the other batches. `OFFSET 0` keeps the planner from looking for keys in any
 * other way: it cannot know how frequent a term is.
 *
 * @param within the rest of the statement within a batch, behind `FROM … AS k`: joins, WHERE, and what bounds it
 */
export function selectByTerms(terms: string, select: string, within: string): string {
  return `SELECT m.* FROM ${BATCHES}, LATERAL (SELECT ${select} FROM (SELECT * FROM api_key WHERE ${terms} OFFSET 0) AS k ${within}) AS m`;
}
