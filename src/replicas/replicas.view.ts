import type { ReplicaTable, StoredReplica } from './replicas.repository.js';

/** One running server. */
export class ReplicaView {
  /**
   * Of the process; another one after every start.
   * @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"
   */
  id: string;

  /** Whether it is the one that answers. */
  isThis: boolean;

  /** @example "2030-01-31T12:00:00.000Z" */
  startedAt: Date;

  /**
   * Its last heartbeat; one a second is usual.
   * @example "2030-01-31T12:00:00.000Z"
   */
  seenAt: Date;

  /**
   * The last change it has applied, by its number in the audit trail.
   * @example 4711
   */
  appliedSeq: number;

  /**
   * How many changes it is behind.
   * @example 0
   */
  behind: number;

  /**
   * How old its knowledge is, in milliseconds: up to 3000 is usual, beyond `MAX_STALENESS_SECONDS` it answers nothing.
   * null before its first look.
   * @example 480
   */
  freshnessMs: number | null;

  static from(replica: StoredReplica, headSeq: bigint, thisId: string): ReplicaView {
    return {
      id: replica.id,
      isThis: replica.id === thisId,
      startedAt: replica.startedAt,
      seenAt: replica.seenAt,
      appliedSeq: Number(replica.appliedSeq),
      behind: Number(headSeq > replica.appliedSeq ? headSeq - replica.appliedSeq : 0n),
      freshnessMs: replica.lagMs === null ? null : Math.round(replica.lagMs + replica.silentMs),
    };
  }
}

/** The running servers, oldest first. One that ended without a word stays for up to ten minutes. */
export class ReplicasView {
  data: ReplicaView[];

  /**
   * The last change there is, by its number in the audit trail.
   * @example 4711
   */
  headSeq: number;

  static from({ headSeq, replicas }: ReplicaTable, thisId: string): ReplicasView {
    return { data: replicas.map((replica) => ReplicaView.from(replica, headSeq, thisId)), headSeq: Number(headSeq) };
  }
}
