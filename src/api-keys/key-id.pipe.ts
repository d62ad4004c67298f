import { Injectable, type PipeTransform } from '@nestjs/common';
import { isUuid } from '../common/uuid.js';
import { invalidKeyId } from './api-key.errors.js';

/** The `:id` of a key, in lower case. @throws DomainError 400 INVALID_KEY_ID */
@Injectable()
export class KeyIdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (!isUuid(id)) throw invalidKeyId();
    return id.toLowerCase();
  }
}
