import { Body, Controller, HttpCode, Post, Req } from '@nestjs/common';
import { ApiBadRequestResponse, ApiBody, ApiConflictResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { KnownCaller } from '../access/caller.js';
import { callerOf, FromCaller, RequirePermission } from '../access/decorators.js';
import { BATCH_BODY_BYTES, BodyLimit } from '../common/body-limit.js';
import { ProblemView } from '../common/problem.view.js';
import { ReleaseReservationDto } from './release.dto.js';
import { RenewReservationDto } from './renew.dto.js';
import { RenewalsService } from './renewals.service.js';
import { ReportUsageDto } from './usage.dto.js';
import { UsageService } from './usage.service.js';
import { ReleasedReservationView, RenewedReservationView, UsageReceiptView } from './usage.view.js';

/** The data plane: what services say after every request. */
@ApiTags('Usage')
@Controller()
export class UsageController {
  constructor(
    private readonly usage: UsageService,
    private readonly renewals: RenewalsService,
  ) {}

  @Post('usage')
  @BodyLimit(BATCH_BODY_BYTES)
  @HttpCode(200)
  @RequirePermission('platform:usage:report')
  @ApiOperation({
    summary: 'Report usage',
    description:
      '200 means committed: what was acknowledged is never lost, and an id counts once, however often it is sent. Up to 1000 events and 1 MiB. ' +
      'After a 503, or none, send the same events again. A budget is charged what is reported, also beyond a reservation or after its end; what is never reported is never charged.',
  })
  @ApiBody({ type: ReportUsageDto })
  @ApiBadRequestResponse({
    description:
      '`VALIDATION_FAILED`, with the members of the receipt: the events that `results` does not call invalid are decided.',
    type: ProblemView,
  })
  @ApiConflictResponse({
    description:
      '`USAGE_CONFLICT` or `ALREADY_SETTLED`, with the members of the receipt: the other events are committed.',
    type: ProblemView,
  })
  // The request itself: parameters of one's own making, and bodies without a class, cost promises that every report
  // would pay.
  report(@Req() request: FastifyRequest): Promise<UsageReceiptView> {
    return this.usage.report(callerOf(request) as KnownCaller, request.body, request.place);
  }

  @Post('reservations/release')
  @HttpCode(200)
  @RequirePermission('platform:usage:report')
  @ApiOperation({
    summary: 'Release a reservation',
    description: 'Nothing was used: what was held is free again at once. A second time changes nothing.',
  })
  @ApiConflictResponse({ description: '`ALREADY_SETTLED`: usage was reported for it.', type: ProblemView })
  release(
    @Req() request: FastifyRequest,
    @FromCaller() caller: KnownCaller,
    @Body() body: ReleaseReservationDto,
  ): Promise<ReleasedReservationView> {
    return this.usage.release(caller, body.reservationId, request.place);
  }

  @Post('reservations/renew')
  @HttpCode(200)
  @RequirePermission('platform:usage:report')
  @ApiOperation({
    summary: 'Renew a reservation',
    description:
      'For a call that takes longer than was thought: what it holds is held for longer, under the same id. It takes nothing more, so it is not refused for lack of room. ' +
      'Renew in good time, at a third of the time to live say: what has ended cannot be renewed.',
  })
  @ApiConflictResponse({
    description:
      '`RESERVATION_ENDED`: it has expired, or was settled or released. `RESERVATION_NOT_RENEWABLE`: it holds budget, and was made for 60 seconds or less.',
    type: ProblemView,
  })
  renew(@FromCaller() caller: KnownCaller, @Body() body: RenewReservationDto): Promise<RenewedReservationView> {
    return this.renewals.renew(caller, body);
  }
}
