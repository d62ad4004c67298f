import { Body, Controller, HttpCode, Post, Req } from '@nestjs/common';
import { RouteSchema } from '@nestjs/platform-fastify';
import { ApiOkResponse, ApiOperation, ApiServiceUnavailableResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { KnownCaller } from '../access/caller.js';
import { callerOf, RequirePermission } from '../access/decorators.js';
import { whenKnown } from '../common/maybe-promise.js';
import { ProblemView } from '../common/problem.view.js';
import { VERDICTS_SCHEMA, VERDICT_SCHEMA } from './verdict.schema.js';
import { VerdictView, VerdictsView } from './verdict.view.js';
import { type VerifyingCaller, Verifier } from './verifier.js';
import { VerifyBatchDto, VerifyDto, type VerifyQuestion } from './verify.dto.js';

/** The data plane: what services ask on every request. */
@ApiTags('Verification')
@Controller('verify')
export class VerifyController {
  constructor(private readonly verifier: Verifier) {}

  @Post()
  @HttpCode(200)
  @RequirePermission('platform:api-keys:verify')
  @RouteSchema({ response: { 200: VERDICT_SCHEMA } })
  @ApiOperation({
    summary: 'Verify a key',
    description: 'Answers 200 with a verdict whenever it could be decided; a refusal is a verdict with `valid: false`.',
  })
  // Said aloud: of a value or a promise of it, the document would only say that it is an object.
  @ApiOkResponse({ type: VerdictView })
  @ApiServiceUnavailableResponse({ description: 'Nothing could be decided at the moment.', type: ProblemView })
  verify(@Req() request: FastifyRequest, @Body() body: VerifyDto): VerdictView | Promise<VerdictView> {
    return this.verifier.verify(body as VerifyQuestion, verifyingCaller(request));
  }

  @Post('batch')
  @HttpCode(200)
  @RequirePermission('platform:api-keys:verify')
  @RouteSchema({ response: { 200: VERDICTS_SCHEMA } })
  @ApiOperation({
    summary: 'Verify several keys',
    description:
      'Each is decided by itself: one that could not be decided has the code `UNAVAILABLE`, one whose form is wrong `VALIDATION_FAILED` with `errors`. ' +
      'A 400 is about the body as a whole: no list, or a wrong number of items.',
  })
  @ApiOkResponse({ type: VerdictsView })
  verifyBatch(@Req() request: FastifyRequest, @Body() body: VerifyBatchDto): VerdictsView | Promise<VerdictsView> {
    return whenKnown(this.verifier.verifyAll(body.items, verifyingCaller(request)), inOneAnswer);
  }
}

/** The guard has seen to it that there is a principal. */
function verifyingCaller(request: FastifyRequest): VerifyingCaller {
  return callerOf(request) as KnownCaller;
}

function inOneAnswer(results: VerdictView[]): VerdictsView {
  return { results };
}
