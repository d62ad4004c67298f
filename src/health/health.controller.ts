import { Controller, Get, HttpCode } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { type HealthCheckResult, HealthCheckService, HealthIndicatorService } from '@nestjs/terminus';
import { Public } from '../access/decorators.js';
import { DomainError } from '../common/domain-error.js';
import { FeedService } from '../verification/feed.service.js';

/** For load balancers and orchestrators. */
@ApiTags('Health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly feed: FeedService,
  ) {}

  @Get('live')
  @HttpCode(200)
  @Public()
  @ApiOperation({ summary: 'Is the process alive', description: 'Restart it when this fails.' })
  live(): { status: 'ok' } {
    return { status: 'ok' };
  }

  @Get('ready')
  @Public()
  @ApiOperation({ summary: 'May traffic be sent here', description: 'Take it out of the load balancer when this is 503: only when a verify would be refused, not when the database is briefly away.' })
  ready(): Promise<HealthCheckResult> {
    if (!this.feed.isReady) throw new DomainError('unavailable', 'NOT_READY', 'A verify would be refused here at the moment.', { retryAfterSeconds: 1 });
    return this.health.check([() => this.indicators.check('verify').up()]);
  }
}
