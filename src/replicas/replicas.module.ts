import { Global, Module } from '@nestjs/common';
import { ChangePropagation } from '../audit/change-propagation.js';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { UsersModule } from '../users/users.module.js';
import { FeedFollower } from '../key-cache/feed/feed-follower.js';
import { FailoverService } from './failover/failover.service.js';
import { HistoryRepository } from './failover/history.repository.js';
import { LostChanges } from './failover/lost-changes.service.js';
import { OwnHistory } from './failover/own-history.js';
import { Heartbeats } from './heartbeats.service.js';
import { ReplicasController } from './replicas.controller.js';
import { ReplicasRepository } from './replicas.repository.js';
import { ReplicasService } from './replicas.service.js';

/** Its parts know the feed; the feed knows this alone. */
const feedFollower = {
  provide: FeedFollower,
  inject: [Heartbeats, FailoverService],
  useFactory: (heartbeats: Heartbeats, failover: FailoverService): FeedFollower => ({
    announce: () => heartbeats.send(),
    onApplied: () => heartbeats.sendSoon(),
    onFollowed: (poll, timing) => failover.onFollowed(poll, timing),
    onHistory: (poll, before, timing) => failover.onHistory(poll, before, timing),
  }),
};

/** This process as one of several: heartbeats, how far each has applied changes, and what a failover may have lost. */
@Global()
@Module({
  imports: [ApiKeysModule, UsersModule],
  controllers: [ReplicasController],
  providers: [
    OwnHistory,
    Heartbeats,
    HistoryRepository,
    LostChanges,
    FailoverService,
    ReplicasRepository,
    ReplicasService,
    feedFollower,
    { provide: ChangePropagation, useExisting: ReplicasService },
  ],
  exports: [ChangePropagation, FailoverService, FeedFollower, ReplicasService],
})
export class ReplicasModule {}
