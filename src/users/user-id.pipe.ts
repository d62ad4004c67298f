import { Injectable, type PipeTransform } from '@nestjs/common';
import { validationFailed } from '../common/domain-error.js';
import { isUuid } from '../common/uuid.js';

/** The `:id` of a user, in lower case. @throws DomainError 400 */
@Injectable()
export class UserIdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (!isUuid(id)) throw validationFailed([{ path: 'id', message: 'must be a UUID' }]);
    return id.toLowerCase();
  }
}
