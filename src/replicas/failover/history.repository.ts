import { Injectable } from '@nestjs/common';
import { FEED_COLUMNS, type StoredFeedRow, feedRowOf } from '../../key-cache/feed/feed-rows.js';
import type { FeedRow } from '../../key-cache/records/change.js';
import { DataPlaneConnections } from '../../key-cache/data-plane-connections.js';
import { CUT_SEQ } from '../../audit/segments/sealed-cut.js';
import { MOST_REMEMBERED } from './history-memory.js';

const TIMEOUT_MS = 2_000;
/** Changes lie among reads and refusals: of so many rows the newest changes are taken. */
const ROWS_LOOKED_AT = 10_000;

/** What a failover may have lost is looked up over the connections of the data plane. */
@Injectable()
export class HistoryRepository {
  constructor(private readonly connections: DataPlaneConnections) {}

  /** The newest changes up to `seq`, oldest first. */
  async newestChanges(seq: bigint): Promise<FeedRow[]> {
    const rows = await this.query<StoredFeedRow>(
      `SELECT ${FEED_COLUMNS} FROM audit_event e
        WHERE e.seq <= $1::bigint AND e.seq > $1::bigint - ${ROWS_LOOKED_AT}
          AND e.outcome = 'success' AND e.action !~ ':(read|explain|export|verify)$'
        ORDER BY e.seq DESC LIMIT ${MOST_REMEMBERED}`,
      [seq.toString()],
    );
    return rows.map(feedRowOf).reverse();
  }

  /** Which of these changes the history has, by their ids; what is sealed, it has. */
  async presentChanges(changes: readonly FeedRow[]): Promise<Set<string>> {
    const rows = await this.query<{ id: string }>(
      `SELECT c.id FROM unnest($1::bigint[], $2::uuid[]) AS c (seq, id)
        WHERE c.seq <= ${CUT_SEQ} OR EXISTS (SELECT FROM audit_event e WHERE e.seq = c.seq AND e.id = c.id)`,
      [changes.map(({ seq }) => seq.toString()), changes.map(({ id }) => id)],
    );
    return new Set(rows.map(({ id }) => id));
  }

  /** Which of these leases it has. */
  async presentLeases(ids: readonly string[]): Promise<Set<string>> {
    const rows = await this.query<{ id: string }>('SELECT id FROM budget_lease WHERE id = ANY($1::uuid[])', [ids]);
    return new Set(rows.map(({ id }) => id));
  }

  private query<Row>(text: string, values: unknown[]): Promise<Row[]> {
    return this.connections.reader().query<Row>({ text, values }, TIMEOUT_MS);
  }
}
