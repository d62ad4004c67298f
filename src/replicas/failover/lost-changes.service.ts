import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { systemCaller } from '../../access/caller.js';
import { switchOffProject } from '../../projects/project-endings.js';
import { KeyEndings } from '../../api-keys/change/key-endings.service.js';
import { type Change, Changes } from '../../audit/changes.js';
import { ADVISORY_LOCKS } from '../../database/advisory-locks.js';
import { UserEndings } from '../../users/user-endings.service.js';
import type { FeedRow } from '../../key-cache/records/change.js';
import { endingsOf } from './endings.js';
import { nameOf } from './history-report.js';
import type { Judgement } from './judgement.js';

/** What the trail calls a history that misses acknowledged work. The doctor looks for it. */
export const HISTORY_LOST = 'system:history-lost';

/** Changes of one transaction: it holds their rows, and then the head. */
const BATCH = 50;
/** Changes that the entry in the trail names. */
const MOST_NAMED = 100;
const REASON = 'Ended again: a failover of the database had lost this change';

/** What one replica has found missing. */
export interface Loss {
  /** Of the new history. */
  readonly history: string;
  readonly timeline: string;
  readonly judgement: Judgement;
  /** The last change that this replica had applied in the old one. */
  readonly appliedSeq: bigint;
}

/**
 * Writes into the trail what a failover has lost, and ends again what lost changes had ended. Every replica does it for
 * what it remembers: what another one has done already is found done, and is left alone.
 */
@Injectable()
export class LostChanges {
  constructor(
    private readonly changes: Changes,
    private readonly keys: KeyEndings,
    private readonly users: UserEndings,
  ) {}

  /** @returns how many keys, secrets, projects, users, and sessions of users have been ended again by this replica. */
  async endAgain(loss: Loss): Promise<number> {
    const { lost } = loss.judgement;
    await this.transaction((change) => this.note(change, loss));
    let ended = 0;
    for (let at = 0; at < lost.length; at += BATCH) {
      // Later rows decide what an earlier one comes to, so each batch is read with all rows of the same things.
      const ids = new Set(lost.slice(at, at + BATCH).map(({ resourceId }) => resourceId));
      const rows = lost.filter(({ resourceId }) => ids.has(resourceId));
      ended += await this.transaction((change) => this.endRows(change, rows, lost[0]!.seq));
    }
    return ended;
  }

  private transaction<T>(work: (change: Change) => Promise<T>): Promise<T> {
    return this.changes.transaction(systemCaller(HISTORY_LOST), async (change) => {
      await change.tx.query('SELECT pg_advisory_xact_lock($1)', [ADVISORY_LOCKS.historyLoss]);
      return work(change);
    });
  }

  /** One entry a history, unless this replica remembers what the entries there are do not name. */
  private async note({ tx, record }: Change, { history, timeline, judgement, appliedSeq }: Loss): Promise<void> {
    const { lost, lostBytes } = judgement;
    const fromSeq = lost[0]?.seq ?? null;
    const toSeq = lost.at(-1)?.seq ?? null;
    const [known] = await tx.query<unknown[]>(
      `SELECT 1 FROM audit_event WHERE action = $1 AND details->>'history' = $2
          AND ($3::bigint IS NULL OR ((details->>'fromSeq')::bigint <= $3::bigint AND (details->>'toSeq')::bigint >= $4::bigint)) LIMIT 1`,
      [HISTORY_LOST, history, fromSeq?.toString() ?? null, toSeq?.toString() ?? null],
    );
    if (known) return;
    record({
      resourceType: 'system',
      resourceId: null,
      details: {
        history,
        timeline,
        fromSeq: fromSeq?.toString() ?? null,
        toSeq: toSeq?.toString() ?? null,
        appliedSeq: appliedSeq.toString(),
        lostChanges: lost.length,
        lostLogBytes: lostBytes.toString(),
        changes: lost.slice(0, MOST_NAMED).map(nameOf),
      },
    });
  }

  /** Users before projects before keys, as everywhere. */
  private async endRows(change: Change, rows: readonly FeedRow[], sinceSeq: bigint): Promise<number> {
    const endings = endingsOf(rows);
    const { inactiveUsers, inactiveProjects, signedOutUsers, resetUsers } = endings;
    const { revokedKeys, inactiveKeys, endedKids, replacedKids } = endings;
    const users = await undecided(change.tx, 'user', inactiveUsers, sinceSeq, SWITCHED);
    let ended = await this.users.switchOff(change, new Map(users.map(([id, row]) => [id, noteOf(row)])));
    for (const [id, row] of sorted(signedOutUsers))
      ended += Number(await this.users.endSessions(change, id, new Date(row.atMs), noteOf(row)));
    for (const [id, row] of await undecided(change.tx, 'user', resetUsers, sinceSeq, FACTOR_CHANGED))
      ended += Number(await this.users.removeSecondFactor(change, id, noteOf(row)));
    for (const [id, row] of await undecided(change.tx, 'project', inactiveProjects, sinceSeq, SWITCHED))
      ended += Number(await switchOffProject(change, id, noteOf(row)));
    for (const [id, row] of sorted(revokedKeys))
      ended += Number(await this.keys.revoke(change, id, REASON, noteOf(row)));
    for (const [id, row] of await undecided(change.tx, 'api-key', inactiveKeys, sinceSeq, SWITCHED)) {
      ended += Number(await this.keys.switchOff(change, id, noteOf(row)));
    }
    for (const [kid, row] of sorted(endedKids)) {
      ended += Number(await this.keys.endSecret(change, row.resourceId!, kid, noteOf(row)));
    }
    for (const [kid, row] of sorted(replacedKids)) {
      const { at } = row.endings!.replaced!;
      ended += Number(await this.keys.expireSecret(change, row.resourceId!, kid, at, noteOf(row)));
    }
    return ended;
  }
}

/** Entries by which the new history has decided itself: on or off, and which second factor. */
const SWITCHED = `jsonb_path_exists(changes, '$[*] ? (@.field == "isActive")')`;
const FACTOR_CHANGED = `action IN ('second-factors:activate', 'second-factors:delete')`;

/** What the new history has not decided itself since: that decision would be newer than the lost one. */
async function undecided(
  tx: EntityManager,
  resourceType: string,
  lost: ReadonlyMap<string, FeedRow>,
  sinceSeq: bigint,
  decision: string,
): Promise<[string, FeedRow][]> {
  if (lost.size === 0) return [];
  const rows = await tx.query<{ id: string }[]>(
    `SELECT DISTINCT resource_id AS id FROM audit_event
      WHERE resource_type = $1 AND resource_id = ANY($2::text[]) AND seq >= $3::bigint AND outcome = 'success'
        AND ${decision}`,
    [resourceType, [...lost.keys()], sinceSeq.toString()],
  );
  const decided = new Set(rows.map(({ id }) => id));
  return sorted(lost).filter(([id]) => !decided.has(id));
}

/** In order of their ids: two replicas that do the same cannot block each other. */
function sorted<T>(byId: ReadonlyMap<string, T>): [string, T][] {
  return [...byId].sort(([one], [other]) => (one < other ? -1 : 1));
}

function noteOf(row: FeedRow): Readonly<Record<string, unknown>> {
  return {
    reason: REASON,
    lostSeq: row.seq.toString(),
    lostAction: row.action,
    lostAt: new Date(row.atMs).toISOString(),
  };
}
