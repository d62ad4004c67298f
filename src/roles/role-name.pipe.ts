import { Injectable, type PipeTransform } from '@nestjs/common';
import { ROLE_NAME, isOf } from '../../packages/contract/src/grammar.js';
import { roleNotFound } from './role.errors.js';

/** The `:name` of a role. @throws DomainError 404 for text that cannot be one */
@Injectable()
export class RoleNamePipe implements PipeTransform<string, string> {
  transform(name: string): string {
    if (!isOf(ROLE_NAME, name)) throw roleNotFound();
    return name;
  }
}
