import { Injectable, type PipeTransform } from '@nestjs/common';
import { validationFailed } from '../../common/domain-error.js';
import { ALIAS } from '../api-key.dto.js';

/** The `:alias` of a key, as it is. @throws DomainError 400 */
@Injectable()
export class AliasPipe implements PipeTransform<string, string> {
  transform(alias: string): string {
    if (ALIAS.test(alias)) return alias;
    throw validationFailed([{ path: 'alias', message: 'must be 1 to 100 of A-Z a-z 0-9 . _ -' }]);
  }
}
