import { Injectable, type PipeTransform } from '@nestjs/common';
import { ALIAS, isOf } from '../../packages/contract/src/grammar.js';
import { validationFailed } from '../common/domain-error.js';
import { isUuid } from '../common/uuid.js';
import { invalidProjectId } from './project.errors.js';

/** The `:id` of a project, in lower case. @throws DomainError 400 */
@Injectable()
export class ProjectIdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (!isUuid(id)) throw invalidProjectId();
    return id.toLowerCase();
  }
}

/** The `:userId` of a member, in lower case. @throws DomainError 400 */
@Injectable()
export class ProjectMemberIdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (!isUuid(id)) throw invalidProjectId('userId');
    return id.toLowerCase();
  }
}

/** The `:alias` of a project, as it is. @throws DomainError 400 */
@Injectable()
export class ProjectAliasPipe implements PipeTransform<string, string> {
  transform(alias: string): string {
    if (isOf(ALIAS, alias)) return alias;
    throw validationFailed([{ path: 'alias', message: ALIAS.sentence }]);
  }
}
