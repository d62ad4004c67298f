import { Global, Module, type OnApplicationShutdown } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { ProblemFilter } from '../common/problem.filter.js';
import { RefusalRecorder } from '../common/refusal-recorder.js';
import { AuditEventsController } from './audit-events.controller.js';
import { AuditEventsRepository } from './audit-events.repository.js';
import { AuditTrailService } from './audit-trail.service.js';
import { AuditedRefusals } from './audited-refusals.js';
import { ChainAlarm } from './chain-alarm.js';
import { ChainVerifier } from './chain-verifier.js';
import { Changes } from './changes.js';
import { Checkpoints } from './checkpoints.js';
import { CheckpointsRepository } from './checkpoints.repository.js';
import { AuditCopy } from './copies/audit-copy.js';
import { AuditStream } from './copies/audit-stream.js';
import { AuditSyslog } from './syslog/audit-syslog.js';
import { LastChanges } from './last-changes.js';
import { ReadHousekeeping } from './reads/read-housekeeping.js';
import { ReadRecorder } from './reads/read-recorder.js';
import { AuditRetention } from './segments/audit-retention.js';
import { SegmentHousekeeping } from './segments/segment-housekeeping.js';
import { TrailRecorder } from './trail-recorder.js';

/** The audit trail and, with it, the change feed. */
@Global()
@Module({
  controllers: [AuditEventsController],
  providers: [
    Changes,
    TrailRecorder,
    ReadRecorder,
    ReadHousekeeping,
    AuditRetention,
    SegmentHousekeeping,
    AuditedRefusals,
    AuditEventsRepository,
    AuditCopy,
    AuditSyslog,
    AuditStream,
    AuditTrailService,
    ChainVerifier,
    ChainAlarm,
    CheckpointsRepository,
    Checkpoints,
    LastChanges,
    { provide: RefusalRecorder, useExisting: AuditedRefusals },
    ProblemFilter,
    { provide: APP_FILTER, useExisting: ProblemFilter },
  ],
  exports: [ChainAlarm, Changes, AuditedRefusals, LastChanges, TrailRecorder, ReadRecorder],
})
export class AuditModule implements OnApplicationShutdown {
  constructor(
    private readonly refusals: AuditedRefusals,
    private readonly recorder: TrailRecorder,
    private readonly reads: ReadRecorder,
    private readonly checkpoints: Checkpoints,
  ) {}

  /** After the last answer: what was only counted is recorded, what was recorded is committed, then anchored. */
  async onApplicationShutdown(): Promise<void> {
    this.refusals.close();
    await this.reads.close();
    await this.recorder.close();
    await this.checkpoints.close();
  }
}
