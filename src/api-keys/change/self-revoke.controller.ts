import { Body, Controller, HttpCode, Post, Res } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiTags, ApiTooManyRequestsResponse } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { AddressThrottle } from '../../access/address-throttle.js';
import type { Caller } from '../../access/caller.js';
import { FromCaller, Public } from '../../access/decorators.js';
import { Audited } from '../../audit/audited.decorator.js';
import { ProblemView } from '../../common/problem.view.js';
import { SelfRevokeDto } from './key-lifecycle.dto.js';
import { SelfRevokeView } from './key-lifecycle.view.js';
import { SelfRevokeService } from './self-revoke.service.js';

/** Enough for a scanner that found a handful of keys; too little to look for keys or to keep the database busy. */
const ALLOWANCE = { name: 'minute', requests: 30, seconds: 60 } as const;

/** For the finder of a key that lies where it should not be. */
@ApiTags('API keys')
@Controller('api-keys/self-revoke')
export class SelfRevokeController {
  private readonly throttle = new AddressThrottle(ALLOWANCE);

  constructor(private readonly keys: SelfRevokeService) {}

  @Post()
  @HttpCode(202)
  @Public()
  @Audited('api-keys:revoke', 'api-key')
  @ApiBody({ type: SelfRevokeDto })
  @ApiOperation({
    summary: 'Revoke a leaked key by presenting it',
    description:
      'The answer is the same whatever the JSON object says. Ends the secret, and the key with its last one. At most 30 requests a minute from one address, 60 from a /56, 120 from a /24 or /48.',
  })
  @ApiTooManyRequestsResponse({
    description: 'Too many requests from this network; see `Retry-After`.',
    type: ProblemView,
  })
  async revoke(
    @FromCaller() caller: Caller,
    @Body() body: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SelfRevokeView> {
    this.throttle.admit(caller.ip, (headers) => reply.headers(headers));
    await this.keys.revoke(caller, (body as { key?: unknown } | null | undefined)?.key);
    return { accepted: true };
  }
}
