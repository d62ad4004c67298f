import { Injectable, type PipeTransform } from '@nestjs/common';
import { SUBJECT, isOf } from '../../packages/contract/src/grammar.js';
import { isUuid } from '../common/uuid.js';
import { invalidId } from './limit.errors.js';

/** The `:id` of a limit, in lower case. @throws DomainError 400 */
@Injectable()
export class LimitIdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (!isUuid(id)) throw invalidId('id');
    return id.toLowerCase();
  }
}

/**
 * The `:member` of a limit: the id of a key or an owner, or a subject; the limit says which. @throws DomainError 400
 *
 * @see memberIdOf
 */
@Injectable()
export class LimitMemberPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (!isOf(SUBJECT, id)) throw invalidId('member');
    return id;
  }
}
