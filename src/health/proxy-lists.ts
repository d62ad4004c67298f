import type { DataSource } from 'typeorm';
import { type Cidr, formatCidr } from '../../packages/contract/src/address.js';

/** Keys that are named; of the others the number. */
const MAX_NAMED = 20;

/**
 * Which keys may be used from addresses of `trusted` alone, as a sentence; null: none. A client never has such an
 * address, so they are refused, except where a gateway shows one as its own.
 */
export async function findProxyLists(dataSource: DataSource, trusted: readonly Cidr[]): Promise<string | null> {
  if (trusted.length === 0) return null;
  const keys = await dataSource.query<{ id: string; count: string }[]>(
    `SELECT id, count(*) OVER () AS count FROM api_key
      WHERE revoked_at IS NULL AND cardinality(allowed_ips) > 0
        AND NOT EXISTS (SELECT 1 FROM unnest(allowed_ips) AS entry WHERE NOT entry::inet <<= ANY ($1::inet[]))
      ORDER BY id LIMIT ${MAX_NAMED}`,
    [trusted.map(formatCidr)],
  );
  if (keys.length === 0) return null;
  const count = Number(keys[0]!.count);
  const others = count > keys.length ? ` and ${count - keys.length} more` : '';
  return `${count} ${count === 1 ? 'key' : 'keys'}, refused except as a gateway's own: ${keys.map(({ id }) => id).join(', ')}${others}`;
}
