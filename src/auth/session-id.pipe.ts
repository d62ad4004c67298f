import { Injectable, type PipeTransform } from '@nestjs/common';
import { validationFailed } from '../common/domain-error.js';
import { isUuid } from '../common/uuid.js';

/** The `:sessionId` of a session, in lower case. @throws DomainError 400 */
@Injectable()
export class SessionIdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (!isUuid(id)) throw validationFailed([{ path: 'sessionId', message: 'must be a UUID' }]);
    return id.toLowerCase();
  }
}
