import { Module } from '@nestjs/common';
import { ConditionLog } from './condition-log.js';
import { DatabaseProbe } from './database-probe.js';
import { HealthController } from './health.controller.js';
import { Readiness } from './readiness.js';

/** Liveness, readiness, and what does not work. */
@Module({
  controllers: [HealthController],
  providers: [Readiness, DatabaseProbe, ConditionLog],
  exports: [Readiness],
})
export class HealthModule {}
