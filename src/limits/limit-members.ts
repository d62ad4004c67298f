import { SUBJECT, isOf } from '../../packages/contract/src/grammar.js';
import { validationFailed } from '../common/domain-error.js';
import { isUuid } from '../common/uuid.js';
import { limitSubjectId } from '../quotas/limits/account-id.js';
import { invalidId } from './limit.errors.js';
import type { Limit } from './limit.entity.js';

/**
 * The id of a member of a limit as a request names it: a key or an owner by its id, a subject by its text.
 *
 * @throws DomainError 400
 */
export function memberIdOf({ each }: Pick<Limit, 'each'>, member: string): string {
  if (each !== 'subject') {
    if (!isUuid(member)) throw invalidId('member');
    return member.toLowerCase();
  }
  if (!isOf(SUBJECT, member)) throw validationFailed([{ path: 'member', message: SUBJECT.sentence }]);
  return limitSubjectId(member);
}
