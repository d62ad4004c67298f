import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../../access/caller.js';
import { Changes } from '../../audit/changes.js';
import { limitSubjectId } from '../../quotas/limits/account-id.js';
import { SubjectsRepository } from './subjects.repository.js';
import type { ErasedSubjectView } from './subject.view.js';

/**
 * Removes the text of a subject. Sums, accounts and amounts of its own stay, under an id that is made of the text, so
 * that limits go on to hold. The trail has that id alone, for it cannot be erased.
 */
@Injectable()
export class SubjectErasure {
  constructor(
    private readonly subjects: SubjectsRepository,
    private readonly changes: Changes,
  ) {}

  /**
   * A subject that nobody has named is erased as well. The trail is told before the first event loses its text: events
   * may be too many for one transaction. Sent again it does what is left.
   */
  async erase(caller: KnownCaller, subject: string): Promise<ErasedSubjectView> {
    const memberId = limitSubjectId(subject);
    const limitCount = await this.changes.transaction(caller, async ({ tx, record }) => {
      const limits = await this.subjects.in(tx).eraseMember(memberId);
      record({ resourceType: 'subject', resourceId: memberId, details: { limitCount: limits } });
      return limits;
    });
    let eventCount = 0;
    for (let count = -1; count !== 0; eventCount += count) count = await this.subjects.eraseSomeEvents(subject);
    return { memberId, limitCount, eventCount, archivedBefore: await this.subjects.archivedBefore() };
  }
}
