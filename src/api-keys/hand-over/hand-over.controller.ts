import { Body, Controller, Delete, HttpCode, Param, Post, Res, UseGuards } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { KnownCaller } from '../../access/caller.js';
import { FromCaller, OwnerOnly, OwnerOr, RequirePermission } from '../../access/decorators.js';
import { Audited } from '../../audit/audited.decorator.js';
import { Versioned } from '../../audit/versioned.js';
import { WaitsForReplicas } from '../../audit/waits-for-replicas.js';
import { ApiKeyView } from '../api-key.view.js';
import { RegeneratedApiKeyView } from '../change/key-lifecycle.view.js';
import { FromIdempotencyKey, TakesIdempotencyKey } from '../idempotency/idempotency-key.decorator.js';
import { KeyIdPipe } from '../key-id.pipe.js';
import { OwnerOrGuard } from '../owner-or.guard.js';
import { KeySecretsService } from '../secrets/key-secrets.service.js';
import { sendAnswer } from '../secrets/repeated-answer.js';
import { HandOverDto } from './hand-over.dto.js';
import { HandOverService } from './hand-over.service.js';

/** A secret that its owner alone sees: offered by one who assigns keys, drawn by the owner. */
@ApiTags('API keys')
@Controller('api-keys/:id')
@UseGuards(OwnerOrGuard)
export class HandOverController {
  constructor(
    private readonly handOvers: HandOverService,
    private readonly secrets: KeySecretsService,
  ) {}

  @Post('hand-over')
  @Versioned('api-key')
  @HttpCode(200)
  @RequirePermission('platform:api-keys:assign')
  @Audited('hand-overs:create', 'api-key')
  @WaitsForReplicas()
  @ApiOperation({
    summary: 'Offer the next secret to the owner',
    description:
      'The owner draws it within 24 hours; until then the key stays as it is. An offer that is open is replaced. It ends with a draw, a regenerate, a transfer, a revoke, a delete, or when the owner is deactivated.',
  })
  offer(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @Body() body: HandOverDto,
  ): Promise<ApiKeyView> {
    return this.handOvers.offer(caller, id, body.overlapSeconds ?? 0);
  }

  @Delete('hand-over')
  @Versioned('api-key')
  @OwnerOr('platform:api-keys:assign')
  @Audited('hand-overs:end', 'api-key')
  @WaitsForReplicas()
  @ApiOperation({
    summary: 'Take back the offer of a secret',
    description: 'The owner declines it by the same request. A pending key stays pending.',
  })
  takeBack(@FromCaller() caller: KnownCaller, @Param('id', KeyIdPipe) id: string): Promise<ApiKeyView> {
    return this.handOvers.takeBack(caller, id);
  }

  @Post('draw')
  @Versioned('api-key')
  @HttpCode(200)
  @OwnerOnly()
  @Audited('api-key-secrets:draw', 'api-key')
  @WaitsForReplicas()
  @TakesIdempotencyKey()
  @ApiOperation({
    summary: 'Draw the secret that is offered',
    description:
      'Makes the secret, once: it is in this answer and nowhere else, ever. The overlap that the offer names begins. Only the signed-in owner, or a manager of a service account, can draw.',
  })
  async draw(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @FromIdempotencyKey() idempotencyKey: string | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RegeneratedApiKeyView> {
    return sendAnswer(reply, await this.secrets.draw(caller, id, idempotencyKey));
  }
}
