/** What has to be quoted inside of quotes: the two characters that mean something there. */
const SPECIAL = /["\\]/g;

/**
 * A PostgreSQL array of what needs no quoting (numbers, UUIDs, periods), one element per item. Written out here because
 * the driver looks at each element by itself, which costs more than all the rest of a batch. An array of nothing but
 * NULL is the empty one.
 */
export function plainArray<Item>(
  items: readonly Item[],
  pick: (item: Item) => string | number | bigint | boolean | null,
): string {
  let text = '';
  let isEmpty = true;
  for (const item of items) {
    const value = pick(item);
    if (value === null) text += ',NULL';
    else {
      isEmpty = false;
      text += `,${value}`;
    }
  }
  return isEmpty ? '{}' : `{${text.slice(1)}}`;
}

/** The same of any text. @see plainArray */
export function textArray<Item>(items: readonly Item[], pick: (item: Item) => string | null): string {
  return plainArray(items, (item) => {
    const text = pick(item);
    return text === null ? null : `"${text.replace(SPECIAL, '\\$&')}"`;
  });
}

/** The same of bytes, given in hexadecimal. @see plainArray */
export function bytesArray<Item>(items: readonly Item[], pick: (item: Item) => string | null): string {
  return plainArray(items, (item) => {
    const hex = pick(item);
    return hex === null ? null : `\\\\x${hex}`;
  });
}
