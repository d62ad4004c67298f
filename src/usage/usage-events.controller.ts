import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../access/caller.js';
import { FromCaller, OwnerOr } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { UsageEventsQuery } from './usage-events.dto.js';
import { UsageEventsService } from './usage-events.service.js';
import { UsageEventsView } from './usage-events.view.js';

/** Single events. */
@ApiTags('Usage')
@Controller('usage/events')
export class UsageEventsController {
  constructor(private readonly events: UsageEventsService) {}

  @Get()
  @OwnerOr('platform:usage:read', { itself: true })
  @Audited('usage:read', 'usage')
  @ApiOperation({
    summary: 'Read single usage events',
    description:
      'Of one key, newest first: all, one by the id under which it was reported, or the one that settled a reservation. ' +
      'Where the operator archives events of old months, `archivedBefore` says from when on there are events.',
  })
  find(@FromCaller() caller: KnownCaller, @Query() query: UsageEventsQuery): Promise<UsageEventsView> {
    return this.events.find(caller, query);
  }
}
