import { Body, Controller, Get, HttpCode, Param, Patch, Post, Put, Res, UseGuards } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Tagged, Versioned } from '../audit/versioned.js';
import type { FastifyReply } from 'fastify';
import type { KnownCaller } from '../access/caller.js';
import { FromCaller, OwnerOr, RequirePermission } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { WaitsForReplicas } from '../audit/waits-for-replicas.js';
import { CreateApiKeyDto, UpdateApiKeyDto } from './api-key.dto.js';
import { ApiKeyView, CreatedApiKeyView } from './api-key.view.js';
import { ApiKeysService } from './api-keys.service.js';
import { FromIdempotencyKey, TakesIdempotencyKey } from './idempotency/idempotency-key.decorator.js';
import { KeyIdPipe } from './key-id.pipe.js';
import { KeyUpdateService } from './change/key-update.service.js';
import { OwnerOrGuard } from './owner-or.guard.js';
import { ReplaceApiKeyDto } from './replace-api-key.dto.js';
import { sendAnswer } from './secrets/repeated-answer.js';

const UPDATE_DESCRIPTION =
  'Absent fields stay, null clears. Owners without `platform:api-keys:update` may rename, tag and tighten; a refusal names every offending field, and nothing is applied.';

/** Creating, reading and changing keys. */
@ApiTags('API keys')
@Controller('api-keys')
@UseGuards(OwnerOrGuard)
export class ApiKeysController {
  constructor(
    private readonly keys: ApiKeysService,
    private readonly updates: KeyUpdateService,
  ) {}

  @Post()
  @Tagged('api-key')
  @HttpCode(201)
  @RequirePermission('platform:api-keys:create')
  @Audited('api-keys:create', 'api-key')
  @TakesIdempotencyKey()
  @ApiOperation({
    summary: 'Create a key',
    description:
      'The secret is in this answer and nowhere else, ever. With `handOver` the key of another owner comes without one: the owner draws it.',
  })
  async create(
    @FromCaller() caller: KnownCaller,
    @Body() body: CreateApiKeyDto,
    @FromIdempotencyKey() idempotencyKey: string | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CreatedApiKeyView> {
    return sendAnswer(reply, await this.keys.create(caller, body, idempotencyKey));
  }

  @Get(':id')
  @Tagged('api-key')
  @OwnerOr('platform:api-keys:read', { itself: true })
  @Audited('api-keys:read', 'api-key')
  @ApiOperation({ summary: 'Read a key' })
  get(@FromCaller() caller: KnownCaller, @Param('id', KeyIdPipe) id: string): Promise<ApiKeyView> {
    return this.keys.get(caller, id);
  }

  @Patch(':id')
  @Versioned('api-key')
  @OwnerOr('platform:api-keys:update')
  @Audited('api-keys:update', 'api-key')
  @WaitsForReplicas()
  @ApiOperation({ summary: 'Change a key', description: UPDATE_DESCRIPTION })
  update(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @Body() body: UpdateApiKeyDto,
  ): Promise<ApiKeyView> {
    return this.updates.update(caller, id, body);
  }

  @Put(':id')
  @Versioned('api-key')
  @OwnerOr('platform:api-keys:update')
  @Audited('api-keys:update', 'api-key')
  @WaitsForReplicas()
  @ApiOperation({
    summary: 'Change a key (the same as PATCH)',
    description: `${UPDATE_DESCRIPTION} What a GET has given can be sent back: members that cannot be set are ignored.`,
  })
  replace(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @Body() body: ReplaceApiKeyDto,
  ): Promise<ApiKeyView> {
    return this.updates.update(caller, id, body);
  }
}
