import { Injectable, type PipeTransform } from '@nestjs/common';
import { ROLE_NAME } from './role.dto.js';
import { roleNotFound } from './role.errors.js';

/** The `:name` of a role. @throws DomainError 404 for text that cannot be one */
@Injectable()
export class RoleNamePipe implements PipeTransform<string, string> {
  transform(name: string): string {
    if (!ROLE_NAME.test(name)) throw roleNotFound();
    return name;
  }
}
