import { Injectable, type PipeTransform } from '@nestjs/common';
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
