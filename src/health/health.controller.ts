import { Controller, Get, Header } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { Public } from '../access/decorators.js';
import { type ConditionState, Conditions } from '../common/conditions.js';
import { DomainError } from '../common/domain-error.js';
import { ConditionView, HealthView, LiveView } from './health.view.js';
import { Readiness, type ReadinessState } from './readiness.js';

const REASONS: Record<Exclude<ReadinessState, 'ready'>, string> = {
  draining: 'This replica is about to end.',
  stale: 'This replica has not heard of its database for too long.',
};

/** For load balancers, orchestrators and monitoring. */
@ApiTags('Health')
@ApiExtraModels(ConditionView)
@Controller('health')
export class HealthController {
  constructor(
    private readonly readiness: Readiness,
    private readonly conditions: Conditions,
  ) {}

  @Get()
  @Header('Cache-Control', 'no-store')
  @Public()
  @ApiOperation({
    summary: 'Does everything work',
    description:
      'For monitoring: 200 when every function of this replica works, 503 `DEGRADED` when one does not, with a sentence for each in ' +
      '`details`. Not for load balancers and orchestrators: what is broken is often broken on every replica.',
  })
  @ApiOkResponse({ type: HealthView })
  @ApiResponse({
    status: 503,
    description: '`DEGRADED`: something does not work, `details` says what. `NOT_READY`: as at `/health/ready`.',
  })
  everything(): HealthView {
    this.refuseUnready();
    const health = this.health();
    if (health.status === 'ok') return health;
    const reasons = Object.values(health.details).flatMap(({ reason }) => reason ?? []);
    throw new DomainError('unavailable', 'DEGRADED', reasons.join(' '), { details: health.details });
  }

  @Get('live')
  @Header('Cache-Control', 'no-store')
  @Public()
  @ApiOperation({
    summary: 'Is the process alive',
    description: 'Restart it when this fails. Asks nobody else: a database that is away is no reason to restart.',
  })
  live(): LiveView {
    return { status: 'ok' };
  }

  @Get('ready')
  @Header('Cache-Control', 'no-store')
  @Public()
  @ApiOperation({
    summary: 'May traffic be sent here',
    description:
      'Take it out of the load balancer when this is 503: while it drains, and when its data is older than `MAX_STALENESS_SECONDS`. ' +
      'A function that does not work at the moment makes it `degraded`, still with 200: verifies are answered, and the other ' +
      'replicas are most likely no better. `GET /health` is 503 then.',
  })
  @ApiOkResponse({ type: HealthView })
  @ApiResponse({ status: 503, description: '`NOT_READY`: send traffic elsewhere; `state` is `draining` or `stale`.' })
  ready(): HealthView {
    this.refuseUnready();
    return this.health();
  }

  private health(): HealthView {
    const details: Record<string, ConditionState> = this.conditions.check();
    const isWell = Object.values(details).every(({ status }) => status === 'up');
    return { status: isWell ? 'ok' : 'degraded', details };
  }

  private refuseUnready(): void {
    const state = this.readiness.check();
    if (state !== 'ready')
      throw new DomainError('unavailable', 'NOT_READY', REASONS[state], { state, retryAfterSeconds: 1 });
  }
}
