import { Controller, Get, HttpCode } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { HealthCheck, HealthCheckService, HealthIndicatorService } from '@nestjs/terminus';
import { DatabaseProbe } from '../database/database-probe.js';
import { Public } from '../access/decorators.js';

/** For load balancers and orchestrators. */
@ApiTags('Health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly database: DatabaseProbe,
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
  @ApiOperation({ summary: 'May traffic be sent here', description: 'Take it out of the load balancer when this fails.' })
  ready() {
    return this.health.check([
      async () => {
        const indicator = this.indicators.check('database');
        try {
          await this.database.ask();
          return indicator.up();
        } catch {
          return indicator.down();
        }
      },
    ]);
  }
}
