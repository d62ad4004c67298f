import { Controller, type ExecutionContext, Get, Header, HttpCode, Post, Query, StreamableFile } from '@nestjs/common';
import { ApiConflictResponse, ApiOkResponse, ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';
import { Compressed } from '../common/compressed.js';
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { AccessRecheck } from '../access/access-recheck.js';
import type { KnownCaller } from '../access/caller.js';
import { FromCaller, FromContext, RequirePermission } from '../access/decorators.js';
import { ProblemView } from '../common/problem.view.js';
import { Audited } from './audited.decorator.js';
import { AuditFilterDto, ListAuditEventsDto, StreamAuditEventsDto } from './audit-event.dto.js';
import { AuditEventsPageView, ChainReportView } from './audit-event.view.js';
import { AuditTrailService } from './audit-trail.service.js';
import { ChainVerifier } from './chain-verifier.js';
import { AuditStream } from './copies/audit-stream.js';

const DEFAULT_LIMIT = 50;

/** What was done, by whom, and whether the record of it is whole. */
@ApiTags('Audit')
@Controller('audit-events')
export class AuditEventsController {
  constructor(
    private readonly trail: AuditTrailService,
    private readonly verifier: ChainVerifier,
    private readonly streams: AuditStream,
    private readonly access: AccessRecheck,
  ) {}

  @Get()
  @Compressed()
  @RequirePermission('platform:audit:read')
  @Audited('audit:read', 'audit-event')
  @ApiOperation({
    summary: 'Read the audit trail',
    description: 'Newest first. Go on with `meta.nextCursor` until it is null.',
  })
  list(@Query() { cursor, limit, ...filter }: ListAuditEventsDto): Promise<AuditEventsPageView> {
    return this.trail.list(filter, cursor, limit === undefined ? DEFAULT_LIMIT : Number(limit));
  }

  @Get('export')
  @Compressed()
  @RequirePermission('platform:audit:export')
  @Audited('audit:export', 'audit-event')
  @Header('Cache-Control', 'no-store')
  @ApiProduces('application/x-ndjson')
  @ApiOkResponse({ description: 'One event a line, oldest first.', schema: { type: 'string', format: 'binary' } })
  @ApiOperation({
    summary: 'Export the audit trail',
    description: 'One event a line (NDJSON), oldest first, as they are listed.',
  })
  export(@Query() filter: AuditFilterDto): StreamableFile {
    return new StreamableFile(Readable.from(this.trail.export({ ...filter }), { objectMode: false }), {
      type: 'application/x-ndjson; charset=utf-8',
      disposition: 'attachment; filename="audit-events.ndjson"',
    });
  }

  @Get('stream')
  @RequirePermission('platform:audit:export')
  @Audited('audit:export', 'audit-event')
  @Header('Cache-Control', 'no-store')
  @Header('X-Accel-Buffering', 'no')
  @ApiProduces('application/x-ndjson')
  @ApiOkResponse({
    description:
      'One event a line, oldest first, each when it is recorded; an empty line first, and after 15 s without an event.',
    schema: { type: 'string', format: 'binary' },
  })
  @ApiConflictResponse({ description: 'Events after this place were removed for their age.', type: ProblemView })
  @ApiOperation({
    summary: 'Stream the audit trail',
    description:
      'One event a line (NDJSON), oldest first, without gaps, and new ones as they are recorded. It ends when the server drains or the caller may read no longer: connect again with `after`, the `seq` of the last event.',
  })
  async stream(
    @Query() { after, chain }: StreamAuditEventsDto,
    @FromContext() context: ExecutionContext,
    @FromCaller() { principal }: KnownCaller,
  ): Promise<StreamableFile> {
    const table = chain === 'reads' ? 'audit_read' : 'audit_event';
    const mayStill = () => this.access.mayStill(context, 'platform:audit:export');
    const left = new AbortController();
    // Also after a HEAD, whose answer has no body.
    context
      .switchToHttp()
      .getResponse<FastifyReply>()
      .raw.once('close', () => left.abort());
    const reader = { principalId: principal.id, mayStill, left: left.signal };
    const lines = await this.streams.begin({ table, after: after ?? null }, reader);
    return new StreamableFile(lines, { type: 'application/x-ndjson; charset=utf-8' });
  }

  @Post('verify')
  @HttpCode(200)
  @RequirePermission('platform:audit:export')
  @Audited('audit:verify', 'audit-event', { isRead: true })
  @ApiOperation({
    summary: 'Verify the audit trail',
    description:
      'Reads the whole trail and says where it was edited, or where entries were removed or added, if anywhere.',
  })
  async verify(): Promise<ChainReportView> {
    return ChainReportView.from(await this.verifier.verify());
  }
}
