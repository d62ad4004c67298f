import { Controller, Get, Header } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type HealthCheckResult, HealthCheckService, HealthIndicatorService } from '@nestjs/terminus';
import { Public } from '../access/decorators.js';
import { DomainError } from '../common/domain-error.js';
import { FailoverService } from '../verification/failover/failover.service.js';
import { LiveView, ReadyView } from './health.view.js';
import { Readiness, type ReadinessState } from './readiness.js';

const REASONS: Record<Exclude<ReadinessState, 'ready'>, string> = {
  draining: 'This replica is about to end.',
  stale: 'This replica has not heard of its database for too long.',
};

/** For load balancers and orchestrators. */
@ApiTags('Health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly readiness: Readiness,
    private readonly failover: FailoverService,
  ) {}

  @Get('live')
  @Header('Cache-Control', 'no-store')
  @Public()
  @ApiOperation({ summary: 'Is the process alive', description: 'Restart it when this fails. Asks nobody else: a database that is away is no reason to restart.' })
  live(): LiveView {
    return { status: 'ok' };
  }

  @Get('ready')
  @Header('Cache-Control', 'no-store')
  @Public()
  @ApiOperation({
    summary: 'May traffic be sent here',
    description:
      'Take it out of the load balancer when this is 503: while it drains, and when its data is older than `STALE_MAX_SECONDS`. ' +
      'A database that is briefly away makes it `degraded`, still with 200.',
  })
  @ApiOkResponse({ type: ReadyView })
  ready(): Promise<HealthCheckResult> {
    const { state, databaseAnswers } = this.readiness.check();
    if (state !== 'ready') throw new DomainError('unavailable', 'NOT_READY', REASONS[state], { state, retryAfterSeconds: 1 });
    return this.health.check([
      () => {
        const database = this.indicators.check('database');
        return databaseAnswers ? database.up() : database.degraded();
      },
      ...this.history(),
    ]);
  }

  /** What a failover has lost, while this process knows of it: how much, and never what. */
  private history() {
    const loss = this.failover.knownLoss;
    if (loss === null) return [];
    const told = { lostChanges: loss.changes, lostLogBytes: loss.logBytes, noticedAt: new Date(loss.atMs) };
    return [() => this.indicators.check('history').degraded(told)];
  }
}
