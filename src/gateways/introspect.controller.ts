import { Body, Controller, Header, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiConsumes, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { KnownCaller } from '../access/caller.js';
import { RequirePermission, TakesClientCredentials, callerOf } from '../access/decorators.js';
import { FormOnlyGuard } from './form-only.guard.js';
import { IntrospectDto } from './introspect.dto.js';
import { Introspection } from './introspection.service.js';
import { IntrospectionView } from './introspection.view.js';

/** Token introspection, for gateways that speak OAuth. */
@ApiTags('Gateways')
@Controller('introspect')
export class IntrospectController {
  constructor(private readonly introspection: Introspection) {}

  @Post()
  @HttpCode(200)
  @Header('Cache-Control', 'no-store')
  @RequirePermission('platform:api-keys:verify')
  @TakesClientCredentials()
  @RouteConfig({ takesForm: true })
  @UseGuards(FormOnlyGuard)
  @ApiConsumes('application/x-www-form-urlencoded')
  @ApiOperation({
    summary: 'Introspect a token (RFC 7662)',
    description:
      'The caller authenticates as anywhere, by HTTP Basic, or with `client_id` and `client_secret` in the form: any name, and the ' +
      'service’s own key as the secret. ' +
      'Tells whether an API key or a session token is good, and what it is. What is not good, for whatever reason, is `{"active": false}`. ' +
      'Nothing is consumed: no rate limit, no budget, no use. Restrictions, rate limits and budgets are therefore not decided here: ask `POST /verify` before you serve a call.',
  })
  introspect(@Req() request: FastifyRequest, @Body() { token }: IntrospectDto): Promise<IntrospectionView> {
    return this.introspection.introspect(token, callerOf(request) as KnownCaller);
  }
}
