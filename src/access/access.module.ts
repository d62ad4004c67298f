import { Global, Module } from '@nestjs/common';
import { APP_GUARD, DiscoveryModule } from '@nestjs/core';
import { AccessGuard } from './access.guard.js';
import { GrantsReader } from './grants.reader.js';
import { RouteAccess } from './route-access.js';

/** Permissions, roles and the guard of every route. */
@Global()
@Module({
  imports: [DiscoveryModule],
  providers: [GrantsReader, RouteAccess, { provide: APP_GUARD, useClass: AccessGuard }],
  exports: [GrantsReader, RouteAccess],
})
export class AccessModule {}
