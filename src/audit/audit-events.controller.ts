import { Controller, Get, Header, HttpCode, Post, Query, StreamableFile } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';
import { Compressed } from '../common/compressed.js';
import { Readable } from 'node:stream';
import { RequirePermission } from '../access/decorators.js';
import { Audited } from './audited.decorator.js';
import { AuditFilterDto, ListAuditEventsDto } from './audit-event.dto.js';
import { AuditEventsPageView, ChainReportView } from './audit-event.view.js';
import { AuditTrailService } from './audit-trail.service.js';
import { ChainVerifier } from './chain-verifier.js';

const DEFAULT_LIMIT = 50;

/** What was done, by whom, and whether the record of it is whole. */
@ApiTags('Audit')
@Controller('audit-events')
export class AuditEventsController {
  constructor(
    private readonly trail: AuditTrailService,
    private readonly verifier: ChainVerifier,
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
