import { Controller, Get, Header, UseGuards } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiProduces, ApiTags, ApiUnauthorizedResponse } from '@nestjs/swagger';
import { Public } from '../access/decorators.js';
import { Metrics } from '../common/metrics.js';
import { ProblemView } from '../common/problem.view.js';
import { MetricsTokenGuard } from './metrics-token.guard.js';

/** What Prometheus scrapes. */
@ApiTags('Health')
@Controller('metrics')
export class MetricsController {
  constructor(private readonly meters: Metrics) {}

  @Get()
  @Public()
  @UseGuards(MetricsTokenGuard)
  @ApiBearerAuth()
  @ApiProduces('text/plain')
  @ApiUnauthorizedResponse({ description: 'Another token than `METRICS_TOKEN`, or none.', type: ProblemView })
  @Header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({
    summary: 'Metrics for Prometheus',
    description:
      'Needs the bearer token `METRICS_TOKEN`; missing without one. With `METRICS_PORT` they are on that port as well.',
  })
  read(): Promise<string> {
    return this.meters.registry.metrics();
  }
}
