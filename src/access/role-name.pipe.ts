import { Injectable, type PipeTransform } from '@nestjs/common';
import { isOf } from '../common/grammars/grammar.js';
import { ROLE_NAME } from '../common/grammars/role-name.js';
import { roleNotFound } from './role.errors.js';

/** The `:name` of a role. @throws DomainError 404 for text that cannot be one */
@Injectable()
export class RoleNamePipe implements PipeTransform<string, string> {
  transform(name: string): string {
    if (!isOf(ROLE_NAME, name)) throw roleNotFound();
    return name;
  }
}
