import { Body, Controller, Param, Put, Query, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { Versioned } from '../../audit/versioned.js';
import type { FastifyReply } from 'fastify';
import type { KnownCaller } from '../../access/caller.js';
import { FromCaller, OwnerOr } from '../../access/decorators.js';
import { Audited } from '../../audit/audited.decorator.js';
import { AliasPipe } from './alias.pipe.js';
import { FromIdempotencyKey, TakesIdempotencyKey } from '../idempotency/idempotency-key.decorator.js';
import { KeyByAliasService } from './key-by-alias.service.js';
import { ReplaceByAliasDto } from '../replace-api-key.dto.js';
import { validationFailed } from '../../common/domain-error.js';
import { ByAliasQuery } from '../change/key-lifecycle.dto.js';
import { UpsertedApiKeyView } from '../change/key-lifecycle.view.js';
import { sendAnswer } from '../secrets/repeated-answer.js';

/** Keys by the name their owner gave them. */
@ApiTags('API keys')
@Controller('api-keys/by-alias')
export class KeyByAliasController {
  constructor(private readonly keys: KeyByAliasService) {}

  @Put(':alias')
  @Versioned('api-key')
  @OwnerOr('platform:api-keys:update')
  @Audited('api-keys:renew', 'api-key')
  @TakesIdempotencyKey()
  @ApiOperation({
    summary: 'Create or renew the key of an alias',
    description:
      'An unknown alias creates a key (needs `platform:api-keys:create`, for others also `platform:api-keys:assign`); a revoked key has freed its alias. ' +
      'A known one renews it: the validity window starts anew, the key is active again, name and roles are replaced (absent roles: none), other fields that are given are changed as by an update.',
  })
  @ApiResponse({
    status: 201,
    description: 'Created; the secret is in this answer and nowhere else, ever.',
    type: UpsertedApiKeyView,
  })
  @ApiOkResponse({ description: 'Renewed; the secret is as it was.', type: UpsertedApiKeyView })
  async put(
    @FromCaller() caller: KnownCaller,
    @Param('alias', AliasPipe) alias: string,
    @Query() query: ByAliasQuery,
    @Body() body: ReplaceByAliasDto,
    @FromIdempotencyKey() idempotencyKey: string | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<UpsertedApiKeyView> {
    const { alias: named, ownerId, ...fields } = body;
    if (named !== undefined && named !== alias)
      throw validationFailed([{ path: 'alias', message: 'must be the alias of the path, or be left out' }]);
    const owner = query.ownerId ?? caller.principal.ownerId;
    if (ownerId !== undefined && ownerId.toLowerCase() !== owner.toLowerCase())
      throw validationFailed([{ path: 'ownerId', message: 'must be the ownerId of the query, or be left out' }]);
    return sendAnswer(reply, await this.keys.put(caller, alias, query.ownerId, fields, idempotencyKey));
  }
}
