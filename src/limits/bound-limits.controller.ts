import { Controller, Get, Param, UseGuards } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../access/caller.js';
import { FromCaller, MemberOr, OwnerOr } from '../access/decorators.js';
import { KeyIdPipe } from '../api-keys/key-id.pipe.js';
import { OwnerOrGuard } from '../api-keys/owner-or.guard.js';
import { Audited } from '../audit/audited.decorator.js';
import { Compressed } from '../common/compressed.js';
import { ProjectIdPipe } from '../projects/project-id.pipe.js';
import { ProjectGuard } from '../projects/project.guard.js';
import { UserIdPipe } from '../users/user-id.pipe.js';
import { BoundLimits } from './bound-limits.service.js';
import { BoundLimitsView } from './limit.view.js';

const NUMBERS =
  'Numbers are shown with `platform:limits:read`, to members of a project of its limits, and to owners of what is on them, on their keys, and of their own accounts; ' +
  'others learn whether a limit is exhausted, and when it counts from 0 again.';

/** Limits that bind a key. */
@ApiTags('Limits')
@Controller('api-keys/:id/limits')
@UseGuards(OwnerOrGuard)
export class KeyLimitsController {
  constructor(private readonly bound: BoundLimits) {}

  @Get()
  @Compressed()
  @OwnerOr('platform:api-keys:read', { itself: true })
  @Audited('api-keys:read', 'api-key')
  @ApiOperation({
    summary: 'List the limits that bind a key',
    description: `Those on the key, its owner, its project and the installation; the key’s own budget is in its usage. ${NUMBERS}`,
  })
  list(@FromCaller() caller: KnownCaller, @Param('id', KeyIdPipe) id: string): Promise<BoundLimitsView> {
    return this.bound.ofKey(caller, id);
  }
}

/** Limits that bind an owner of keys. */
@ApiTags('Limits')
@Controller('users/:id/limits')
export class OwnerLimitsController {
  constructor(private readonly bound: BoundLimits) {}

  @Get()
  @Compressed()
  @OwnerOr('platform:limits:read')
  @Audited('users:read', 'user')
  @ApiOperation({
    summary: 'List the limits of an owner',
    description:
      'Your own, those of a service account that you manage, or any with `platform:limits:read`: limits on the owner, and the owner’s accounts in others.',
  })
  list(@FromCaller() caller: KnownCaller, @Param('id', UserIdPipe) id: string): Promise<BoundLimitsView> {
    return this.bound.ofOwner(caller, id);
  }
}

/** Limits on a project. */
@ApiTags('Limits')
@Controller('projects/:id/limits')
@UseGuards(ProjectGuard)
export class ProjectLimitsController {
  constructor(private readonly bound: BoundLimits) {}

  @Get()
  @Compressed()
  @MemberOr('platform:limits:read', 'member')
  @Audited('projects:read', 'project')
  @ApiOperation({
    summary: 'List the limits on a project',
    description: 'For members of the project, or with `platform:limits:read`; with the fullest account of each.',
  })
  list(@FromCaller() caller: KnownCaller, @Param('id', ProjectIdPipe) id: string): Promise<BoundLimitsView> {
    return this.bound.ofProject(caller, id);
  }
}
