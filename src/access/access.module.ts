import { Global, Module } from '@nestjs/common';
import { APP_GUARD, DiscoveryModule } from '@nestjs/core';
import { ListCursors } from '../common/list-cursors.js';
import { Config } from '../config/config.js';
import { AccessGuard } from './access.guard.js';
import { AccessRecheck } from './access-recheck.js';
import { GrantsReader } from './grants.reader.js';
import { ManagementGate } from './management-gate.js';
import { RouteAccess } from './route-access.js';

/** Permissions, what callers may do, and the guard of every route. */
@Global()
@Module({
  imports: [DiscoveryModule],
  providers: [
    AccessRecheck,
    GrantsReader,
    { provide: ListCursors, useFactory: (config: Config) => new ListCursors(config.reservationKeys), inject: [Config] },
    ManagementGate,
    RouteAccess,
    { provide: APP_GUARD, useClass: AccessGuard },
  ],
  exports: [AccessRecheck, GrantsReader, ListCursors, RouteAccess],
})
export class AccessModule {}
