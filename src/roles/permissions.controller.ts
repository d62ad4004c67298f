import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Compressed } from '../common/compressed.js';
import { RequirePermission } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { PermissionsView } from './role.view.js';
import { RolesService } from './roles.service.js';

/** What roles are made of. */
@ApiTags('Roles')
@Controller('permissions')
export class PermissionsController {
  constructor(private readonly roles: RolesService) {}

  @Get()
  @Compressed()
  @RequirePermission('platform:roles:read')
  @Audited('permissions:read', 'permission')
  @ApiOperation({ summary: 'List permissions', description: 'Every permission there is, each with a sentence.' })
  list(): PermissionsView {
    return this.roles.permissions();
  }
}
