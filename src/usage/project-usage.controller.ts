import { Controller, Get, Headers, Param, Query, Res, UseGuards } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiOperation, ApiTags, getSchemaPath } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { MemberOr } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { Compressed } from '../common/compressed.js';
import { ProjectGuard } from '../projects/project.guard.js';
import { ProjectIdPipe } from '../projects/project-id.pipe.js';
import { ProjectSummaryQuery } from './usage-reads.dto.js';
import { UsageReadsService } from './usage-reads.service.js';
import { UsageSummaryView } from './usage-reads.view.js';
import { answerSummary } from './usage-summary.controller.js';

/** What keys have used while they were in a project. */
@ApiTags('Usage')
@Controller('projects/:id/usage')
@UseGuards(ProjectGuard)
export class ProjectUsageController {
  constructor(private readonly usage: UsageReadsService) {}

  @Get('summary')
  @Compressed()
  @MemberOr('platform:usage:read', 'member')
  @Audited('usage:read', 'usage')
  @ApiOperation({
    summary: 'Sum up the usage of a project',
    description:
      'As `GET /usage/summary?projectId=`, for members too: what keys used while they were in the project. JSON, or CSV by `Accept: text/csv` or `format=csv`.',
  })
  @ApiExtraModels(UsageSummaryView)
  @ApiOkResponse({
    content: {
      'application/json': { schema: { $ref: getSchemaPath(UsageSummaryView) } },
      'text/csv': { schema: { type: 'string' } },
    },
  })
  summary(
    @Param('id', ProjectIdPipe) id: string,
    @Query() query: ProjectSummaryQuery,
    @Headers('accept') accept: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<UsageSummaryView | string> {
    return answerSummary(this.usage, { ...query, projectId: id }, accept, reply);
  }
}
