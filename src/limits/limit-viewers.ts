import { Injectable } from '@nestjs/common';
import type { Principal } from '../access/caller.js';
import type { ProjectRole } from '../projects/project-role.js';
import { type BoundKey, BoundLimitsRepository } from './bound-limits.repository.js';
import type { LimitViewer } from './limit-visibility.js';

/** Who asks about limits, with what the database says of them. */
@Injectable()
export class LimitViewers {
  constructor(private readonly bound: BoundLimitsRepository) {}

  /** @param key the one that is asked about; null: none is */
  async of(principal: Principal, key: Pick<BoundKey, 'id' | 'ownerId'> | null): Promise<LimitViewer> {
    const userId = principal.signedInUserId;
    const [managed, roles] =
      userId === null
        ? [[], new Map<string, ProjectRole>()]
        : await Promise.all([this.bound.managedBy(userId), this.bound.rolesOf(userId)]);
    const ownerIds = userId === null ? [] : [userId, ...managed];
    const isOwnKey = key !== null && (ownerIds.includes(key.ownerId) || principal.id === key.id);
    return {
      seesAll: principal.may('platform:limits:read'),
      changesAll: principal.may('platform:limits:update'),
      ownerIds,
      projectIds: [...roles.keys()],
      administers: [...roles].flatMap(([id, role]) => (role === 'admin' ? [id] : [])),
      keyIds: isOwnKey ? [key.id] : [],
    };
  }
}
