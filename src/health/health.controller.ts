import { Controller, Get, HttpCode } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { HealthCheck, HealthCheckService, HealthIndicatorService } from '@nestjs/terminus';
import { Public } from '../access/decorators.js';
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
  @HealthCheck()
  @ApiOperation({ summary: 'May traffic be sent here', description: 'Take it out of the load balancer when this is 503: only when a verify would be refused, not when the database is briefly away.' })
  ready() {
    return this.health.check([
      () => {
        const indicator = this.indicators.check('verify');
        return this.feed.isReady ? indicator.up() : indicator.down();
      },
    ]);
  }
}
