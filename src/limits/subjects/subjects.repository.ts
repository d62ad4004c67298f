import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';

/** Events that lose their subject in one statement. */
const EVENTS_AT_ONCE = 5_000;

/** Texts of subjects: beside the accounts of limits, and of events. */
@Injectable()
export class SubjectsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): SubjectsRepository {
    return new SubjectsRepository(tx);
  }

  /** Removes the text from some of the events that have it, and gives how many these were: none, once none is left. */
  async eraseSomeEvents(subject: string): Promise<number> {
    const [, count] = await this.manager.query<[unknown[], number]>(
      `UPDATE usage_event e SET subject = NULL
         FROM (SELECT tableoid, ctid FROM usage_event WHERE subject = $1 LIMIT ${EVENTS_AT_ONCE}) AS named
        WHERE e.tableoid = named.tableoid AND e.ctid = named.ctid AND e.subject = $1`,
      [subject],
    );
    return count;
  }

  /** Removes the text from the accounts of a member, and gives of how many limits these were. */
  async eraseMember(memberId: string): Promise<number> {
    const [, count] = await this.manager.query<[unknown[], number]>(
      // In the order in which calls note their subjects, so that none waits for the other.
      `UPDATE limit_subject s SET subject = NULL
         FROM (SELECT account_id FROM limit_subject WHERE member_id = $1 AND subject IS NOT NULL
                ORDER BY account_id FOR UPDATE) AS named
        WHERE s.account_id = named.account_id`,
      [memberId],
    );
    return count;
  }

  /** The end of the last month whose events were archived; null: none were. */
  async archivedBefore(): Promise<Date | null> {
    const [row] = await this.manager.query<{ at: Date | null }[]>(
      `SELECT (max(month) + interval '1 month') AT TIME ZONE 'UTC' AS at FROM usage_archive`,
    );
    return row!.at;
  }
}
