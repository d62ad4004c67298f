import { Module } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { Clock } from '../common/clock.js';
import { Conditions } from '../common/conditions.js';
import { Metrics } from '../common/metrics.js';
import { traceWork } from '../common/trace-work.js';
import { microCentsFromCents } from '../common/money.js';
import { Config } from '../config/config.js';
import { UsageArchives } from './archives/usage-archives.js';
import { BudgetForecastsRepository } from './budget-forecasts.repository.js';
import { BudgetForecastsService } from './budget-forecasts.service.js';
import { ProjectsModule } from '../projects/projects.module.js';
import { ProjectUsageController } from './project-usage.controller.js';
import { KeyUsageController } from './key-usage.controller.js';
import { UsageBatcher } from './usage-batcher.js';
import type { BookEntry, BookResult } from './usage-entry.js';
import { UsageEventsController } from './usage-events.controller.js';
import { UsageEventsRepository } from './usage-events.repository.js';
import { UsageEventsService } from './usage-events.service.js';
import { UsageHousekeeping } from './usage-housekeeping.js';
import { metered, showQueues } from './usage-metrics.js';
import { UsageReadsService } from './usage-reads.service.js';
import { UsageSummaryController } from './usage-summary.controller.js';
import { UsageWriter } from './usage-writer.js';
import { RenewalsService } from './renewals.service.js';
import { UsageController } from './usage.controller.js';
import { UsageRepository } from './usage.repository.js';
import { UsageRollUp } from './usage-roll-up.js';
import { UsageService } from './usage.service.js';
import { VerdictCounter } from './verdict-counter.js';
import { ReportReader } from './report-reader.js';
import { VerdictRecorder } from './verdict-recorder.js';

/**
 * An answer comes within 1.5 s, also when PostgreSQL gives none. A share adds some milliseconds to a batch, which is
 * what one caller can delay another by. It is large enough for a report of 1000 events to be committed in that time
 * beside others: what is sent again begins with what was committed, so one that never is would never end.
 */
const LIMITS = {
  maxBatch: 200,
  maxShare: 100,
  maxWaitMs: 5,
  maxInFlight: 2,
  maxQueued: 10_000,
  answerWithinMs: 1_400,
} as const;

/** Metering: reports of usage, and what was used. */
@Module({
  imports: [ApiKeysModule, ProjectsModule],
  controllers: [
    UsageController,
    KeyUsageController,
    ProjectUsageController,
    UsageSummaryController,
    UsageEventsController,
  ],
  providers: [
    UsageService,
    RenewalsService,
    ReportReader,
    UsageReadsService,
    BudgetForecastsService,
    BudgetForecastsRepository,
    UsageRepository,
    UsageEventsService,
    UsageEventsRepository,
    UsageHousekeeping,
    UsageArchives,
    UsageRollUp,
    VerdictRecorder,
    { provide: VerdictCounter, useFactory: (clock: Clock) => new VerdictCounter(clock), inject: [Clock] },
    {
      provide: UsageBatcher,
      useFactory: batcher,
      inject: [DataSource, Config, Clock, Metrics, Conditions, VerdictCounter, UsageRollUp],
    },
  ],
  exports: [VerdictCounter, UsageBatcher],
})
export class UsageModule {}

function batcher(
  dataSource: DataSource,
  config: Config,
  clock: Clock,
  meters: Metrics,
  conditions: Conditions,
  verdicts: VerdictCounter,
  rollUp: UsageRollUp,
): UsageBatcher<BookEntry, BookResult> {
  const writer = new UsageWriter(dataSource, {
    defaultHold: microCentsFromCents(config.defaultReservationCents),
    ceiling: microCentsFromCents(config.maxEventCostCents),
  });
  const made = new UsageBatcher<BookEntry, BookResult>(
    metered(meters, conditions, (entries) =>
      traceWork('usage', () => writer.write(entries)).finally(() => rollUp.noteBooked()),
    ),
    clock,
    LIMITS,
  );
  showQueues(meters, made, verdicts);
  return made;
}
