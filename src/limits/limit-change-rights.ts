import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Principal } from '../access/caller.js';
import { ProjectMembers } from '../projects/project-members.service.js';
import { adminMayOnlyTighten, limitNotFound } from './limit.errors.js';
import type { Limit } from './limit.entity.js';
import { loosenedFields } from './limit-rules.js';

const UPDATE = 'platform:limits:update';

/** Who may change a limit, and how far. */
@Injectable()
export class LimitChangeRights {
  constructor(private readonly members: ProjectMembers) {}

  /**
   * For a change of a limit that is locked: with the permission any; an admin of its project may only let it refuse
   * more.
   *
   * @throws DomainError 403 ADMIN_MAY_ONLY_TIGHTEN; 404 for a caller who is no admin any more
   */
  async require(tx: EntityManager, principal: Principal, before: Limit, after: Limit): Promise<void> {
    if (principal.may(UPDATE)) return;
    const projectId = before.targetKind === 'project' ? before.targetId : null;
    const roles = await this.members.lockRoles(tx, principal);
    if (projectId === null || roles.get(projectId) !== 'admin') throw limitNotFound();
    const loosened = loosenedFields(before, after);
    if (loosened.length > 0) throw adminMayOnlyTighten(loosened);
  }
}
