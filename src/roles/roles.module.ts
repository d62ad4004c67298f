import { Module } from '@nestjs/common';
import { PermissionsController } from './permissions.controller.js';
import { RolesController } from './roles.controller.js';
import { RolesRepository } from './roles.repository.js';
import { RolesService } from './roles.service.js';

/** Roles: named sets of permissions, with the bounds of the keys that their holders create. */
@Module({
  controllers: [RolesController, PermissionsController],
  providers: [RolesService, RolesRepository],
})
export class RolesModule {}
