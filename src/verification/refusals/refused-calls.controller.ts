import { Controller, Get, Param, Query, UseGuards } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../../access/caller.js';
import { FromCaller, OwnerOr } from '../../access/decorators.js';
import { KeyIdPipe } from '../../api-keys/key-id.pipe.js';
import { OwnerOrGuard } from '../../api-keys/owner-or.guard.js';
import { Audited } from '../../audit/audited.decorator.js';
import { Compressed } from '../../common/compressed.js';
import { RefusedCallsQuery } from './refused-calls.dto.js';
import { RefusedCallsService } from './refused-calls.service.js';
import { RefusedCallsView } from './refused-calls.view.js';

/** Which calls of a key were refused, one by one. */
@ApiTags('Verification')
@Controller('api-keys')
@UseGuards(OwnerOrGuard)
export class RefusedCallsController {
  constructor(private readonly calls: RefusedCallsService) {}

  @Get(':id/refusals')
  @Compressed()
  @OwnerOr('platform:api-keys:read')
  @Audited('api-keys:read', 'api-key')
  @ApiOperation({
    summary: 'Read the last refused calls of a key',
    description:
      'Newest first, of the last 48 hours, a second or so late: at most 100 of a key and 20 of it in a minute. `meta` says how many were ' +
      'refused and how many are kept. To follow them, ask again with `after` set to `meta.newest`. What was asked about with a ' +
      'secret that is no key leaves nothing here.',
  })
  list(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @Query() query: RefusedCallsQuery,
  ): Promise<RefusedCallsView> {
    return this.calls.list(caller, id, query);
  }
}
