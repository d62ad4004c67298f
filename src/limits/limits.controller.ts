import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Param,
  Patch,
  Post,
  Put,
  Query,
  Res,
  UseGuards,
} from '@nestjs/common';
import {
  ApiCreatedResponse,
  ApiExtraModels,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
  getSchemaPath,
} from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { KnownCaller } from '../access/caller.js';
import { FromCaller, MemberOr, RequirePermission } from '../access/decorators.js';
import { AliasPipe } from '../api-keys/by-alias/alias.pipe.js';
import { FromIdempotencyKey, TakesIdempotencyKey } from '../api-keys/idempotency/idempotency-key.decorator.js';
import { sendAnswer } from '../api-keys/secrets/repeated-answer.js';
import { Audited } from '../audit/audited.decorator.js';
import { Tagged, Versioned } from '../audit/versioned.js';
import { WaitsForReplicas } from '../audit/waits-for-replicas.js';
import { Compressed } from '../common/compressed.js';
import { validationFailed } from '../common/domain-error.js';
import { CreateLimitDto, PutLimitDto, UpdateLimitDto } from './limit.dto.js';
import { LimitGuard } from './limit.guard.js';
import { LimitIdPipe } from './limit-id.pipe.js';
import { LimitDryRunView, LimitView, LimitsPageView, PutLimitView } from './limit.view.js';
import { DryRunQueryDto, LimitsQueryDto, PutLimitQueryDto } from './limits-query.dto.js';
import { LimitDryRuns } from './limit-dry-runs.service.js';
import { LimitsReader } from './limits-reader.service.js';
import { LimitsService } from './limits.service.js';

const DRY_RUN = { $ref: getSchemaPath(LimitDryRunView) };
const LIMIT_OR_DRY_RUN = { oneOf: [{ $ref: getSchemaPath(LimitView) }, DRY_RUN] };

/** Limits that several calls share. */
@ApiTags('Limits')
@ApiExtraModels(LimitView, LimitDryRunView)
@Controller('limits')
@UseGuards(LimitGuard)
export class LimitsController {
  constructor(
    private readonly limits: LimitsService,
    private readonly dryRuns: LimitDryRuns,
    private readonly reader: LimitsReader,
  ) {}

  @Get()
  @Compressed()
  @RequirePermission('platform:limits:read')
  @Audited('limits:read', 'limit')
  @ApiOperation({
    summary: 'List limits',
    description: 'Limits that hold, with the account of each that is used most.',
  })
  list(@Query() query: LimitsQueryDto): Promise<LimitsPageView> {
    return this.reader.list(query);
  }

  @Post()
  @Tagged('limit')
  @WaitsForReplicas({ besides: DryRunQueryDto })
  @RequirePermission('platform:limits:create')
  @Audited('limits:create', 'limit')
  @TakesIdempotencyKey()
  @ApiOperation({
    summary: 'Add a limit',
    description:
      'Bounds what a key, an owner, a project or all keys may spend or use in a period, or have in flight, on all calls together or for ' +
      'each key or owner. It counts from now on. A target has at most 4 limits, 3 of them of cents, tokens and slots; a key one less of ' +
      'both, beside its own budget. Limits of tokens by minute are none of the 3; a target has at most 2.',
  })
  @ApiCreatedResponse({ description: 'Made.', type: LimitView })
  @ApiOkResponse({ description: 'With `dryRun=true`: nothing was made.', schema: DRY_RUN })
  async create(
    @FromCaller() caller: KnownCaller,
    @Body() body: CreateLimitDto,
    @Query() { dryRun }: DryRunQueryDto,
    @FromIdempotencyKey() idempotencyKey: string | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<LimitView | LimitDryRunView> {
    if (dryRun !== true) return sendAnswer(reply, await this.limits.create(caller, body, idempotencyKey));
    void reply.status(200);
    return this.dryRuns.create(caller, body);
  }

  @Get(':id')
  @Tagged('limit')
  @RequirePermission('platform:limits:read')
  @Audited('limits:read', 'limit')
  @ApiOperation({ summary: 'Read a limit' })
  get(@Param('id', LimitIdPipe) id: string): Promise<LimitView> {
    return this.reader.get(id);
  }

  @Patch(':id')
  @Versioned('limit')
  @WaitsForReplicas({ besides: DryRunQueryDto })
  @MemberOr('platform:limits:update', 'admin')
  @Audited('limits:update', 'limit')
  @ApiOperation({
    summary: 'Change a limit',
    description:
      'Without the permission an admin of its project may lower the amount, and turn `observe` into `enforce`. Absent fields stay. Target, `each`, `unit`, `per` and `timeZone` cannot be changed, because the sum would start from 0: make another limit.',
  })
  @ApiOkResponse({ description: 'Changed; or, with `dryRun=true`, what it would come to.', schema: LIMIT_OR_DRY_RUN })
  update(
    @FromCaller() caller: KnownCaller,
    @Param('id', LimitIdPipe) id: string,
    @Body() body: UpdateLimitDto,
    @Query() { dryRun }: DryRunQueryDto,
  ): Promise<LimitView | LimitDryRunView> {
    return dryRun === true ? this.dryRuns.update(caller, id, body) : this.limits.update(caller, id, body);
  }

  @Delete(':id')
  @Versioned('limit')
  @WaitsForReplicas()
  @HttpCode(204)
  @RequirePermission('platform:limits:delete')
  @Audited('limits:delete', 'limit')
  @ApiOperation({
    summary: 'Delete a limit',
    description: 'It binds no call any more. What was reserved before is settled as it was.',
  })
  delete(@FromCaller() caller: KnownCaller, @Param('id', LimitIdPipe) id: string): Promise<void> {
    return this.limits.delete(caller, id);
  }

  @Put('by-alias/:alias')
  @Versioned('limit')
  @WaitsForReplicas({ besides: PutLimitQueryDto })
  @RequirePermission('platform:limits:update', 'platform:limits:create')
  @Audited('limits:update', 'limit')
  @ApiOperation({
    summary: 'Create or change the limit of an alias',
    description:
      'The limit is as the request says then; absent fields have their defaults, and overrides stay. Another target, `each`, `unit`, ' +
      '`per` or `timeZone` needs `restart=true` and the permission `platform:limits:delete`: the limit ends, and a new one takes its place, ' +
      'with the overrides in force where `each` and `unit` are the same. `replaced` says which sum starts from 0.',
  })
  @ApiCreatedResponse({ description: 'Made.', type: PutLimitView })
  @ApiOkResponse({ description: 'Changed, or as it was.', type: PutLimitView })
  async put(
    @FromCaller() caller: KnownCaller,
    @Param('alias', AliasPipe) alias: string,
    @Body() body: PutLimitDto,
    @Query() { restart }: PutLimitQueryDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<PutLimitView> {
    if (body.alias !== undefined && body.alias !== alias)
      throw validationFailed([{ path: 'alias', message: 'must be the alias of the path, or be left out' }]);
    const { limit, isNew } = await this.limits.put(caller, alias, body, restart === true);
    void reply.status(isNew ? 201 : 200);
    return limit;
  }
}
