import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Compressed } from '../common/compressed.js';
import type { KnownCaller } from '../access/caller.js';
import { FromCaller, OwnerOr } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { KeyIdPipe } from '../api-keys/key-id.pipe.js';
import { UsageSeriesQuery } from './usage-reads.dto.js';
import { UsageReadsService } from './usage-reads.service.js';
import { KeyUsageView, UsageSeriesView } from './usage-reads.view.js';

/** What a key has used. */
@ApiTags('Usage')
@Controller('api-keys/:id/usage')
export class KeyUsageController {
  constructor(private readonly usage: UsageReadsService) {}

  @Get()
  @Compressed()
  @OwnerOr('platform:api-keys:read')
  @Audited('api-keys:read', 'api-key')
  @ApiOperation({
    summary: 'Read the usage of a key',
    description: 'Totals, today and this hour are exact: they contain every report that was acknowledged.',
  })
  get(@FromCaller() caller: KnownCaller, @Param('id', KeyIdPipe) id: string): Promise<KeyUsageView> {
    return this.usage.ofKey(caller, id);
  }

  @Get('series')
  @Compressed()
  @OwnerOr('platform:api-keys:read')
  @Audited('api-keys:read', 'api-key')
  @ApiOperation({
    summary: 'Read the usage of a key over time',
    description: 'By the time of receipt, in UTC. Steps without usage are zero.',
  })
  series(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @Query() query: UsageSeriesQuery,
  ): Promise<UsageSeriesView> {
    return this.usage.seriesOf(caller, id, query);
  }
}
