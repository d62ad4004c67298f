import { Global, Module } from '@nestjs/common';
import { ChangePropagation } from '../audit/change-propagation.js';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { UsersModule } from '../users/users.module.js';
import { FailoverService } from './failover/failover.service.js';
import { HistoryRepository } from './failover/history.repository.js';
import { LostChanges } from './failover/lost-changes.service.js';
import { ReplicasController } from './replicas.controller.js';
import { ReplicasRepository } from './replicas.repository.js';
import { ReplicasService } from './replicas.service.js';

/** This process as one of several: heartbeats, how far each has applied changes, and what a failover may have lost. */
@Global()
@Module({
  imports: [ApiKeysModule, UsersModule],
  controllers: [ReplicasController],
  providers: [
    HistoryRepository,
    LostChanges,
    FailoverService,
    ReplicasRepository,
    ReplicasService,
    { provide: ChangePropagation, useExisting: ReplicasService },
  ],
  exports: [ChangePropagation, FailoverService, ReplicasService],
})
export class ReplicasModule {}
