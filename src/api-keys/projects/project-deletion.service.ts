import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { KnownCaller } from '../../access/caller.js';
import { EffectiveRights } from '../../access/effective-rights.js';
import { GrantsReader } from '../../access/grants.reader.js';
import { type Change, Changes } from '../../audit/changes.js';
import { Clock } from '../../common/clock.js';
import { validationFailed } from '../../common/domain-error.js';
import { projectInUse, unknownProject } from '../../projects/project.errors.js';
import type { LockedProject } from '../../projects/project.view.js';
import { ProjectsService } from '../../projects/projects.service.js';
import { endLimitsOf } from '../../quotas/limits/limit-endings.js';
import { ApiKey } from '../api-key.entity.js';
import { moveAll, revokeAll } from '../change/keys-at-once.js';
import type { DeleteProjectQueryDto } from './project-deletion.dto.js';

/** Keys changed in one transaction: it holds the change head, and others wait for it. */
export const DELETION_BATCH = 100;

const REASON = 'The project was deleted.';

/** What one transaction came to: the last key that is done, that all before it are, or that keys are in the way. */
type Step = { readonly after: string | null } | 'deleted' | 'in use';

/**
 * Deleting projects. Keys go first, a batch a transaction in order of their ids, the project when none is left:
 * whatever stops it in the middle, the same request goes on from there.
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
    let step: Step = { after: null };
    while (typeof step === 'object') {
      const { after }: { after: string | null } = step;
      step = await this.changes.transaction(caller, (change) =>
        this.step(change, caller, { id, to, after }, fate.keys),
      );
    }
    if (step === 'in use') throw projectInUse(Math.max(1, await this.projects.countKeys(id)));
  }

  /** One transaction: the next keys or, when none is left, the project with the last of them. */
  private async step(
    change: Change,
    caller: KnownCaller,
    { id, to, after }: { readonly id: string; readonly to: string | undefined; readonly after: string | null },
    keys: 'revoke' | undefined,
  ): Promise<Step> {
    await this.requireRights(change.tx, caller, keys, to);
    const found = await this.lockProjects(change.tx, caller, id, to);
    if (keys === undefined && to === undefined && (await isInUse(change.tx, id))) return 'in use';
    const batch = await lockBatch(change.tx, id, after);
    if (batch.length > 0 && to !== undefined) moveAll(change, batch, { projectId: to }, this.clock.now());
    else if (batch.length > 0) revokeAll(change, batch, REASON, this.clock.now());
    if (batch.length === DELETION_BATCH) return { after: batch.at(-1)!.id };
    // Keys that came since then may have smaller ids.
    if (after !== null) return { after: null };
    await endLimitsOf(change, 'project', id);
    this.projects.remove(change, found);
    return 'deleted';
  }

  /** In order of their ids: of two that are deleted into each other, one waits for the other. */
  private async lockProjects(
    tx: EntityManager,
    caller: KnownCaller,
    id: string,
    to: string | undefined,
  ): Promise<LockedProject> {
    const isThere = async () => to === undefined || (await this.projects.isThere(tx, to));
    const isKnown = to !== undefined && to < id ? await isThere() : null;
    const found = await this.projects.lockForDeletion(tx, caller, id);
    if (!(isKnown ?? (await isThere()))) throw unknownProject('transferTo');
    return found;
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

/** The next keys that are not revoked, behind the key `after`; by the index of such keys. */
function lockBatch(tx: EntityManager, projectId: string, after: string | null): Promise<ApiKey[]> {
  const next = tx
    .createQueryBuilder(ApiKey, 'k')
    .where('k.projectId = :projectId AND k.revokedAt IS NULL', { projectId })
    .orderBy('k.id')
    .limit(DELETION_BATCH)
    .setLock('pessimistic_write');
  if (after !== null) next.andWhere('k.id > :after', { after });
  return next.getMany();
}

async function isInUse(tx: EntityManager, projectId: string): Promise<boolean> {
  const [row] = await tx.query<{ is: boolean }[]>(
    'SELECT EXISTS (SELECT FROM api_key WHERE project_id = $1 AND revoked_at IS NULL) AS is',
    [projectId],
  );
  return row!.is;
}
