import { Body, Controller, Delete, Get, HttpCode, Param, Put, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../access/caller.js';
import { FromCaller, RequirePermission } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { WaitsForReplicas } from '../audit/waits-for-replicas.js';
import { Compressed } from '../common/compressed.js';
import { OverrideDto } from './limit.dto.js';
import { LimitIdPipe, LimitMemberPipe } from './limit-id.pipe.js';
import { LimitAccountView, LimitAccountsPageView } from './limit.view.js';
import { LimitAccountsQueryDto } from './limits-query.dto.js';
import { LimitOverrides } from './limit-overrides.service.js';
import { LimitsReader } from './limits-reader.service.js';

/** Accounts of a limit, and amounts of their own for single members. */
@ApiTags('Limits')
@Controller('limits/:id/accounts')
export class LimitAccountsController {
  constructor(
    private readonly reader: LimitsReader,
    private readonly overrides: LimitOverrides,
  ) {}

  @Get()
  @Compressed()
  @RequirePermission('platform:limits:read')
  @Audited('limits:read', 'limit')
  @ApiOperation({
    summary: 'List the accounts of a limit',
    description:
      'As of the running period: the one that all calls share, or those of members that have called in it or have an amount of their own.',
  })
  list(@Param('id', LimitIdPipe) id: string, @Query() query: LimitAccountsQueryDto): Promise<LimitAccountsPageView> {
    return this.reader.listAccounts(id, query);
  }

  @Get(':member')
  @RequirePermission('platform:limits:read')
  @Audited('limits:read', 'limit')
  @ApiOperation({
    summary: 'Read the account of a member',
    description: 'Of a key or owner that the limit binds, or of any subject, also before the first call.',
  })
  get(
    @Param('id', LimitIdPipe) id: string,
    @Param('member', LimitMemberPipe) member: string,
  ): Promise<LimitAccountView> {
    return this.reader.getAccount(id, member);
  }

  @Put(':member')
  @WaitsForReplicas()
  @RequirePermission('platform:limits:update', 'platform:limits:read')
  @Audited('limits:update', 'limit')
  @ApiOperation({
    summary: 'Give a member an amount of its own',
    description:
      'In place of the amount of the limit, and of the override before. It ends by itself where `until` is given.',
  })
  put(
    @FromCaller() caller: KnownCaller,
    @Param('id', LimitIdPipe) id: string,
    @Param('member', LimitMemberPipe) member: string,
    @Body() body: OverrideDto,
  ): Promise<LimitAccountView> {
    return this.overrides.put(caller, id, member, body);
  }

  @Delete(':member')
  @WaitsForReplicas()
  @HttpCode(204)
  @RequirePermission('platform:limits:update')
  @Audited('limits:update', 'limit')
  @ApiOperation({
    summary: 'Take the amount of its own from a member',
    description: 'The amount of the limit is in force again.',
  })
  delete(
    @FromCaller() caller: KnownCaller,
    @Param('id', LimitIdPipe) id: string,
    @Param('member', LimitMemberPipe) member: string,
  ): Promise<void> {
    return this.overrides.delete(caller, id, member);
  }
}
