import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { DatabaseProbe } from '../database/database-probe.js';
import { HealthController } from './health.controller.js';

/** Liveness and readiness. */
@Module({ imports: [TerminusModule], controllers: [HealthController], providers: [DatabaseProbe] })
export class HealthModule {}
