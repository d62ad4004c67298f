import { Injectable } from '@nestjs/common';
import { BUILD_LEVEL } from '../database/older-replicas.js';
import { DataPlaneConnections } from '../key-cache/data-plane-connections.js';

/** One replica as the table knows it. */
export interface StoredReplica {
  readonly id: string;
  readonly appliedSeq: bigint;
  /** Counts its heartbeats. */
  readonly beats: string;
  readonly startedAt: Date;
  readonly seenAt: Date;
  /** Milliseconds since its last heartbeat, by the database's clock. */
  readonly silentMs: number;
  /** At its last heartbeat: milliseconds since the poll that last reached the head; null before the first. */
  readonly lagMs: number | null;
  /** The history of the database it is in, and whether it misses nothing there; null: it has not told. */
  readonly history: string | null;
  readonly isHistoryWhole: boolean | null;
}

/** What a replica tells with a heartbeat. */
export interface Told {
  readonly appliedSeq: bigint;
  readonly lagMs: number | null;
  readonly history: string | null;
  readonly isHistoryWhole: boolean | null;
}

/** The replicas, and the head they follow, in one snapshot. */
export interface ReplicaTable {
  readonly headSeq: bigint;
  readonly replicas: readonly StoredReplica[];
}

/** Signs of life are small; one that takes longer is as good as none. */
const TIMEOUT_MS = 1_000;

const BEAT = `
  WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
  INSERT INTO replica (id, applied_seq, lag_ms, history, is_history_whole, build_level)
  SELECT $1::uuid, $2::bigint, $3::integer, $4::text, $5::boolean, ${BUILD_LEVEL} FROM quick
  ON CONFLICT (id) DO UPDATE SET applied_seq = excluded.applied_seq, lag_ms = excluded.lag_ms,
                                 history = excluded.history, is_history_whole = excluded.is_history_whole,
                                 beats = replica.beats + 1, seen_at = clock_timestamp()`;

const TABLE = `
  SELECT head.seq AS head_seq, r.id, r.applied_seq, r.beats, r.started_at, r.seen_at, r.lag_ms, r.history, r.is_history_whole,
         (extract(epoch FROM clock_timestamp() - r.seen_at) * 1000)::float8 AS silent_ms
    FROM change_head head LEFT JOIN replica r ON true ORDER BY r.started_at, r.id`;

interface Row {
  head_seq: string;
  id: string | null;
  applied_seq: string;
  beats: string;
  started_at: Date;
  seen_at: Date;
  lag_ms: number | null;
  history: string | null;
  is_history_whole: boolean | null;
  silent_ms: number;
}

/** Reads and writes the replicas' heartbeats, on the data plane's own connections. */
@Injectable()
export class ReplicasRepository {
  constructor(private readonly connections: DataPlaneConnections) {}

  /** Makes this replica known before its first answer, durably. */
  async enter(id: string): Promise<void> {
    await this.write('INSERT INTO replica (id, applied_seq, build_level) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING', [
      id,
      BUILD_LEVEL,
    ]);
  }

  async heartbeat(id: string, { appliedSeq, lagMs, history, isHistoryWhole }: Told): Promise<void> {
    const lag = lagMs === null ? null : Math.min(Math.round(lagMs), 2 ** 31 - 1);
    await this.write(BEAT, [id, appliedSeq.toString(), lag, history, isHistoryWhole], 'send-heartbeat');
  }

  /** Removes replicas: this one after its last answer, or others that are long dead. */
  async remove(ids: readonly string[]): Promise<void> {
    await this.write('DELETE FROM replica WHERE id = ANY($1::uuid[])', [ids]);
  }

  async table(): Promise<ReplicaTable> {
    const rows = await this.connections.reader().query<Row>({ name: 'replicas', text: TABLE }, TIMEOUT_MS);
    const [first] = rows;
    if (!first) throw new Error('The change head is missing: the schema is damaged.');
    return {
      headSeq: BigInt(first.head_seq),
      replicas: rows
        .filter((row) => row.id !== null)
        .map((row) => ({
          id: row.id!,
          appliedSeq: BigInt(row.applied_seq),
          beats: row.beats,
          startedAt: row.started_at,
          seenAt: row.seen_at,
          silentMs: Math.max(0, row.silent_ms),
          lagMs: row.lag_ms,
          history: row.history,
          isHistoryWhole: row.is_history_whole,
        })),
    };
  }

  /** `name`: under which a statement is prepared that comes often. */
  private async write(text: string, values: unknown[], name?: string): Promise<void> {
    await this.connections.writer.query({ text, values, ...(name === undefined ? {} : { name }) }, TIMEOUT_MS);
  }
}
