import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Compressed } from '../common/compressed.js';
import { Tagged, Versioned } from '../audit/versioned.js';
import { PageQueryDto } from '../common/page-query.dto.js';
import type { KnownCaller } from '../access/caller.js';
import { WaitsForReplicas } from '../audit/waits-for-replicas.js';
import { FromCaller, RequirePermission } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { RoleNamePipe } from './role-name.pipe.js';
import { CreateRoleDto, UpdateRoleDto } from './role.dto.js';
import { RolesPageView, RoleView } from './role.view.js';
import { RolesService } from './roles.service.js';

/** Roles, their grants and key policies. */
@ApiTags('Roles')
@Controller('roles')
export class RolesController {
  constructor(private readonly roles: RolesService) {}

  @Get()
  @Compressed()
  @RequirePermission('platform:roles:read')
  @Audited('roles:read', 'role')
  @ApiOperation({ summary: 'List roles', description: 'In order of name.' })
  list(@Query() query: PageQueryDto): Promise<RolesPageView> {
    return this.roles.list(query);
  }

  @Post()
  @Tagged('role')
  @RequirePermission('platform:roles:create')
  @Audited('roles:create', 'role')
  @ApiOperation({ summary: 'Add a role', description: 'You must hold everything it grants.' })
  create(@FromCaller() caller: KnownCaller, @Body() body: CreateRoleDto): Promise<RoleView> {
    return this.roles.create(caller, body);
  }

  @Get(':name')
  @Tagged('role')
  @RequirePermission('platform:roles:read')
  @Audited('roles:read', 'role')
  @ApiOperation({ summary: 'Read a role' })
  get(@Param('name', RoleNamePipe) name: string): Promise<RoleView> {
    return this.roles.get(name);
  }

  @Patch(':name')
  @Versioned('role')
  @WaitsForReplicas()
  @RequirePermission('platform:roles:update')
  @Audited('roles:update', 'role')
  @ApiOperation({
    summary: 'Change a role',
    description:
      'You must hold everything it grants, before and after. Taking a bound or a reserved tag from its key policy, deactivating a role that has any, and widening the bounds of users by a role that they have besides, needs `platform:api-keys:update`. Takes effect on the next request of everybody who has it.',
  })
  update(
    @FromCaller() caller: KnownCaller,
    @Param('name', RoleNamePipe) name: string,
    @Body() body: UpdateRoleDto,
  ): Promise<RoleView> {
    return this.roles.update(caller, name, body);
  }

  @Delete(':name')
  @Versioned('role')
  @WaitsForReplicas()
  @HttpCode(204)
  @RequirePermission('platform:roles:delete')
  @Audited('roles:delete', 'role')
  @ApiOperation({
    summary: 'Delete a role',
    description:
      'Refused while users, or keys that are not revoked, carry it. A role that bounds keys or reserves tags needs `platform:api-keys:update`.',
  })
  delete(@FromCaller() caller: KnownCaller, @Param('name', RoleNamePipe) name: string): Promise<void> {
    return this.roles.delete(caller, name);
  }
}
