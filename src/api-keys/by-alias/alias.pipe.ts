import { Injectable, type PipeTransform } from '@nestjs/common';
import { validationFailed } from '../../common/domain-error.js';
import { ALIAS, isOf } from '../../../packages/contract/src/grammar.js';

/** The `:alias` of a key, as it is. @throws DomainError 400 */
@Injectable()
export class AliasPipe implements PipeTransform<string, string> {
  transform(alias: string): string {
    if (isOf(ALIAS, alias)) return alias;
    throw validationFailed([{ path: 'alias', message: ALIAS.sentence }]);
  }
}
