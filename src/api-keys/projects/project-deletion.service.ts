import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { KnownCaller } from '../../access/caller.js';
import { EffectiveRights } from '../../access/effective-rights.js';
import { GrantsReader } from '../../access/grants.reader.js';
import { type Change, Changes } from '../../audit/changes.js';
import { Clock } from '../../common/clock.js';
import { validationFailed } from '../../common/domain-error.js';
import { projectInUse, unknownProject } from '../../projects/project.errors.js';
import { ProjectsService } from '../../projects/projects.service.js';
import { endLimitsOf } from '../../quotas/limits/limit-endings.js';
import { ApiKey } from '../api-key.entity.js';
import { moveAll, revokeAll } from '../change/keys-at-once.js';
import type { DeleteProjectQueryDto } from './project-deletion.dto.js';

/** Keys changed in one transaction: it holds the change head, and others wait for it. */
export const DELETION_BATCH = 100;

const REASON = 'The project was deleted.';

/**
 * Deleting projects. Keys go first, a batch a transaction, the project with the last batch: whatever stops it in the
 * middle, the same request goes on from there.
 */
@Injectable()
export class ProjectDeletion {
  constructor(
    private readonly projects: ProjectsService,
    private readonly grants: GrantsReader,
    private readonly changes: Changes,
    private readonly clock: Clock,
  ) {}

  /**
   * Deletes a project; `fate` says what becomes of its keys.
   *
   * @throws DomainError 400; 403 PERMISSION_DENIED; 404; 409 PROJECT_IN_USE; 412 VERSION_MISMATCH. Batches that were
   *   committed before stay.
   */
  async delete(caller: KnownCaller, id: string, fate: DeleteProjectQueryDto): Promise<void> {
    const to = fate.transferTo?.toLowerCase();
    if (fate.keys !== undefined && to !== undefined)
      throw validationFailed([{ path: 'transferTo', message: 'contradicts keys=revoke' }]);
    if (to === id) throw validationFailed([{ path: 'transferTo', message: 'must be another project' }]);
    let isDeleted = false;
    while (!isDeleted)
      isDeleted = await this.changes.transaction(caller, (change) => this.step(change, caller, id, fate.keys, to));
  }

  /** One transaction: the next keys and, with the last of them, the project. A key that is about to come waits. */
  private async step(
    change: Change,
    caller: KnownCaller,
    id: string,
    keys: 'revoke' | undefined,
    to: string | undefined,
  ): Promise<boolean> {
    await this.requireRights(change.tx, caller, keys, to);
    const found = await this.projects.lock(change.tx, caller, id);
    if (to !== undefined && !(await this.projects.isThere(change.tx, to))) throw unknownProject('transferTo');
    if (found.keys > 0 && keys === undefined && to === undefined) throw projectInUse(found.keys);
    const batch = await lockBatch(change.tx, id);
    if (batch.length > 0 && to !== undefined) moveAll(change, batch, { projectId: to }, this.clock.now());
    else if (batch.length > 0) revokeAll(change, batch, REASON, this.clock.now());
    if (batch.length === DELETION_BATCH) return false;
    await endLimitsOf(change, 'project', id);
    this.projects.remove(change, found);
    return true;
  }

  /** What is done to the keys needs what doing it to each of them needs. */
  private async requireRights(
    tx: EntityManager,
    { principal }: KnownCaller,
    keys: 'revoke' | undefined,
    to: string | undefined,
  ): Promise<void> {
    const reader = this.grants.in(tx);
    const lock = reader.holders(new Map([[principal.ownerId, 'share' as const]]));
    const { rights } = await EffectiveRights.locked(principal, reader, lock);
    rights.requirePermission('platform:projects:delete');
    if (keys === 'revoke') rights.requirePermission('platform:api-keys:delete');
    if (to !== undefined) rights.requirePermission('platform:api-keys:assign');
  }
}

function lockBatch(tx: EntityManager, projectId: string): Promise<ApiKey[]> {
  return tx
    .createQueryBuilder(ApiKey, 'k')
    .where('k.projectId = :projectId AND k.revokedAt IS NULL', { projectId })
    .orderBy('k.id')
    .limit(DELETION_BATCH)
    .setLock('pessimistic_write')
    .getMany();
}
