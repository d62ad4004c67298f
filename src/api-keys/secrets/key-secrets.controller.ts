import { Body, Controller, Delete, HttpCode, Param, Post, Res, UseGuards } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Versioned } from '../../audit/versioned.js';
import type { FastifyReply } from 'fastify';
import type { KnownCaller } from '../../access/caller.js';
import { FromCaller, OwnerOr } from '../../access/decorators.js';
import { Audited } from '../../audit/audited.decorator.js';
import { WaitsForReplicas } from '../../audit/waits-for-replicas.js';
import { ApiKeyView } from '../api-key.view.js';
import { FromIdempotencyKey, TakesIdempotencyKey } from '../idempotency/idempotency-key.decorator.js';
import { KeyIdPipe } from '../key-id.pipe.js';
import { RegenerateApiKeyDto } from '../change/key-lifecycle.dto.js';
import { RegeneratedApiKeyView } from '../change/key-lifecycle.view.js';
import { KeySecretsService } from './key-secrets.service.js';
import { OwnerOrGuard } from '../owner-or.guard.js';
import { sendAnswer } from './repeated-answer.js';

/** The secrets of a key. */
@ApiTags('API keys')
@Controller('api-keys/:id')
@UseGuards(OwnerOrGuard)
export class KeySecretsController {
  constructor(private readonly secrets: KeySecretsService) {}

  @Post('regenerate')
  @Versioned('api-key')
  @HttpCode(200)
  @OwnerOr('platform:api-keys:update')
  @Audited('api-keys:regenerate', 'api-key')
  @TakesIdempotencyKey()
  @WaitsForReplicas()
  @ApiOperation({
    summary: 'Give a key a new secret',
    description:
      'Id, limits, budget and usage stay. With an overlap the old secret works on for that long; regenerating again ends the oldest. The new secret is in this answer and nowhere else, ever.',
  })
  async regenerate(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @Body() body: RegenerateApiKeyDto,
    @FromIdempotencyKey() idempotencyKey: string | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RegeneratedApiKeyView> {
    return sendAnswer(reply, await this.secrets.regenerate(caller, id, body, idempotencyKey));
  }

  @Delete('secrets/:kid')
  @Versioned('api-key')
  @OwnerOr('platform:api-keys:update')
  @Audited('api-key-secrets:delete', 'api-key')
  @WaitsForReplicas()
  @ApiOperation({
    summary: 'End an overlap',
    description:
      'Ends one of two secrets at once; the last one cannot be ended. The other one works as long as it would have: end the newest, and the key has a secret until the overlap is over.',
  })
  endSecret(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @Param('kid') kid: string,
  ): Promise<ApiKeyView> {
    return this.secrets.endSecret(caller, id, kid);
  }
}
