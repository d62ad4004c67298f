import { Body, Controller, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../../access/caller.js';
import { FromCaller, OwnerOr } from '../../access/decorators.js';
import { Audited } from '../../audit/audited.decorator.js';
import { KeyIdPipe } from '../../api-keys/key-id.pipe.js';
import { OwnerOrGuard } from '../../api-keys/owner-or.guard.js';
import { ExplainDto, type ExplainQuestion } from './explain.dto.js';
import { ExplanationView } from './explanation.view.js';
import { KeyExplainer } from './key-explainer.js';

/** Why a key is refused, for those who have its id and not its secret. */
@ApiTags('Verification')
@Controller('api-keys')
@UseGuards(OwnerOrGuard)
export class ExplainController {
  constructor(private readonly explainer: KeyExplainer) {}

  @Post(':id/explain')
  @HttpCode(200)
  @OwnerOr('platform:api-keys:read', { itself: true })
  @Audited('api-keys:explain', 'api-key', { isRead: true })
  @ApiOperation({
    summary: 'Explain a key',
    description: 'Tries a call on a key without its secret and lists every check with its outcome. Consumes nothing.',
  })
  explain(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @Body() body: ExplainDto,
  ): Promise<ExplanationView> {
    return this.explainer.explain(caller, id, body as ExplainQuestion);
  }
}
