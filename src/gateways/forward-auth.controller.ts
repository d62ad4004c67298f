import { All, Controller, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Parameters, askOf, modeOf } from './forward-auth-query.js';
import { ForwardAuthService } from './forward-auth.service.js';
import { AskedByQuery, GatewayOperation } from './gateway-operation.js';

/**
 * What nginx, Traefik and Caddy ask before they pass a request on. The query is the gateway's, all else its client's.
 */
@ApiTags('Gateways')
@Controller('forward-auth')
export class ForwardAuthController {
  constructor(private readonly door: ForwardAuthService) {}

  @All()
  @GatewayOperation()
  @ApiOperation({
    summary: 'May this request pass? (nginx, Traefik, Caddy)',
    description:
      'For nginx `auth_request` (with `mode=nginx`), Traefik ForwardAuth and Caddy `forward_auth`, by any method. The key is what the client presented in `Authorization: Bearer` or `X-API-Key`; the gateway shows its own in `X-Latchkey-Gateway-Key`, or uses `GATEWAY_PORT`. ' +
      'The client’s address is taken from `X-Forwarded-For` as far as `TRUSTED_PROXIES` vouch for it. Decided, counted and charged like `POST /verify`.',
  })
  @AskedByQuery()
  decide(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const { mode, ...parameters } = request.query as Parameters;
    return this.door.handle(request, reply, askOf(parameters), modeOf(mode));
  }
}
