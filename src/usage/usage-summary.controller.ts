import { Controller, Get, Headers, Query, Res } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiOperation, ApiTags, getSchemaPath } from '@nestjs/swagger';
import { Compressed } from '../common/compressed.js';
import type { FastifyReply } from 'fastify';
import { RequirePermission } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { preferredType } from '../common/content-negotiation.js';
import { BudgetForecastsService } from './budget-forecasts.service.js';
import { BudgetForecastsQuery, RefusalsQuery, UsageSummaryQuery } from './usage-reads.dto.js';
import { UsageReadsService } from './usage-reads.service.js';
import { BudgetForecastsView, RefusalsView, UsageSummaryView } from './usage-reads.view.js';

/** Usage and refusals over all keys. */
@ApiTags('Usage')
@Controller('usage')
export class UsageSummaryController {
  constructor(
    private readonly usage: UsageReadsService,
    private readonly forecasts: BudgetForecastsService,
  ) {}

  @Get('summary')
  @Compressed()
  @RequirePermission('platform:usage:read')
  @Audited('usage:read', 'usage')
  @ApiOperation({
    summary: 'Sum up usage over all keys',
    description:
      'JSON, or CSV by `Accept: text/csv` or `format=csv`. Up to 400 days, by default the last 30. The CSV begins with a UTF-8 byte order mark.',
  })
  @ApiExtraModels(UsageSummaryView)
  @ApiOkResponse({
    content: {
      'application/json': { schema: { $ref: getSchemaPath(UsageSummaryView) } },
      'text/csv': { schema: { type: 'string' } },
    },
  })
  summary(
    @Query() query: UsageSummaryQuery,
    @Headers('accept') accept: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<UsageSummaryView | string> {
    return answerSummary(this.usage, query, accept, reply);
  }

  @Get('budget-forecasts')
  @Compressed()
  @RequirePermission('platform:usage:read')
  @Audited('usage:read', 'usage')
  @ApiOperation({
    summary: 'Read which budgets will be used up soon',
    description:
      'If they go on being spent as they were: monthly budgets in this month (UTC), total ones in the last seven days. Nothing is told of a ' +
      'key of which less than a day is known. Of the 1,000 most used monthly budgets and the 200 most used total ones.',
  })
  budgetForecasts(@Query() { projectId }: BudgetForecastsQuery): Promise<BudgetForecastsView> {
    return this.forecasts.soon(projectId?.toLowerCase() ?? null);
  }

  @Get('refusals')
  @Compressed()
  @RequirePermission('platform:usage:read')
  @Audited('usage:read', 'usage')
  @ApiOperation({
    summary: 'Read refused verifies',
    description: 'By key and code, a second or so late. Up to 35 days, by default the last 24 hours.',
  })
  refusals(@Query() query: RefusalsQuery): Promise<RefusalsView> {
    return this.usage.refusals(query);
  }
}

/** The summary in the form that is asked for. */
export async function answerSummary(
  usage: UsageReadsService,
  query: UsageSummaryQuery,
  accept: string | undefined,
  reply: FastifyReply,
): Promise<UsageSummaryView | string> {
  void reply.header('Vary', 'Accept');
  if (!wantsCsv(query, accept)) return usage.summarize(query);
  const csv = await usage.summarizeAsCsv(query);
  void reply.type('text/csv; charset=utf-8').header('Content-Disposition', 'attachment; filename="usage.csv"');
  return csv;
}

/** `format` decides; without it, the header. */
function wantsCsv({ format }: UsageSummaryQuery, accept: string | undefined): boolean {
  return format === undefined
    ? preferredType(accept, ['application/json', 'text/csv']) === 'text/csv'
    : format === 'csv';
}
