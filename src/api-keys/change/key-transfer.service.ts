import { Injectable } from '@nestjs/common';
import { permissionDenied } from '../../access/access.errors.js';
import type { KnownCaller } from '../../access/caller.js';
import { SENTENCES } from '../../../packages/contract/src/schema.js';
import { validationFailed } from '../../common/domain-error.js';
import { isAtLeast } from '../../projects/project-role.js';
import { ProjectsService } from '../../projects/projects.service.js';
import { unknownOwner } from '../api-key.errors.js';
import type { ApiKeyView } from '../api-key.view.js';
import { KeyCreationRules } from '../create/key-creation-rules.js';
import { KeyChanges } from './key-changes.js';
import type { TransferApiKeyDto } from './key-lifecycle.dto.js';
import type { LockedKey } from './locked-key.js';
import { statusOf } from '../status.js';

const ASSIGN = { permission: 'platform:api-keys:assign' } as const;
/** The new owner can do with the key what this permits, and may be the caller. */
const TAKE = 'platform:api-keys:update';

/** Giving keys to another owner or project. */
@Injectable()
export class KeyTransferService {
  constructor(
    private readonly changes: KeyChanges,
    private readonly admission: KeyCreationRules,
    private readonly projects: ProjectsService,
  ) {}

  /**
   * Makes a key another user's, puts it into another project, or both. Another owner's key also needs `platform:api-
   * keys:update` to get a new owner. An admin of two projects moves keys from one to the other, and keys of their
   * own into either; a key leaves for none with the permission alone. What a key may do then must be covered by what
   * the caller holds, and it must lie inside the caller's key policy as if the caller made it; an active key counts
   * against the new owner's cap. The secret stays: who knew it knows it still, until it is regenerated.
   *
   * @throws DomainError 400 unknown owner or project, or neither given; 403 CANNOT_GRANT, OUTSIDE_POLICY,
   *   PERMISSION_DENIED; 404; 409 ALIAS_TAKEN, ALREADY_REVOKED; 429 API_KEY_LIMIT_REACHED
   */
  async transfer(caller: KnownCaller, id: string, to: TransferApiKeyDto): Promise<ApiKeyView> {
    if (to.ownerId === undefined && to.projectId === undefined)
      throw validationFailed([{ path: 'ownerId', message: SENTENCES.absent }]);
    const ownerId = to.ownerId?.toLowerCase();
    const projectId = to.projectId === undefined ? undefined : (to.projectId?.toLowerCase() ?? null);
    return this.changes.change(
      caller,
      id,
      ASSIGN,
      async (held) => {
        if (!mayMove(held, ownerId, projectId)) throw permissionDenied(ASSIGN.permission);
        if (ownerId !== undefined && !held.isOwn && !held.caller.principal.may(TAKE)) throw permissionDenied(TAKE);
        held.requireNotRevoked();
        if (ownerId !== undefined) await this.requireOwner(held, ownerId);
        if (projectId === null) this.admission.requireInProject(held.parties, null);
        // The project of a live key stays; who deletes it has locked it, and waits for this key.
        if (projectId && projectId !== held.key.projectId) await this.projects.requireExisting(held.tx, projectId);
        held.save({
          ...held.key,
          ownerId: ownerId ?? held.key.ownerId,
          projectId: projectId === undefined ? held.key.projectId : projectId,
        });
        return held.view();
      },
      ownerId === undefined ? [] : [ownerId],
    );
  }

  private async requireOwner(held: LockedKey, ownerId: string): Promise<void> {
    const { key, parties, tx, now } = held;
    const newOwner = parties.others.get(ownerId);
    if (newOwner === undefined) throw unknownOwner();
    if (ownerId === key.ownerId) return;
    this.admission.requireHeld(held.caller, await this.admission.grantsUnder(tx, newOwner, key.roles));
    this.admission.requireInsidePolicy(parties, key, now);
    if (statusOf(key, now) === 'active') await this.admission.requireRoom(tx, newOwner, key.id);
  }
}

/** With the permission anywhere; without it an admin of the projects that the key leaves and gets, to no new owner. */
function mayMove(
  { standing, key, isOwn, parties: { projectRoles } }: LockedKey,
  ownerId: string | undefined,
  projectId: string | null | undefined,
): boolean {
  if (standing === 'permission') return true;
  if (ownerId !== undefined || !projectId) return false;
  const isAdminOf = (id: string) => isAtLeast(projectRoles.get(id) ?? null, 'admin');
  return isAdminOf(projectId) && (key.projectId === null ? isOwn : isAdminOf(key.projectId));
}
