import { All, Controller, Req, Res } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { parse } from 'node:querystring';
import { validationFailed } from '../common/domain-error.js';
import { askOf } from './forward-auth-query.js';
import { ForwardAuthService } from './forward-auth.service.js';
import { GatewayOperation } from './gateway-operation.js';

/** What the gateway asks, since its client wrote the path and the query. */
const ASK_HEADER = 'x-latchkey-ask';

const AskedByHeader = () =>
  ApiHeader({
    name: 'X-Latchkey-Ask',
    required: false,
    description:
      'What is asked of the key, written like the query of forward-auth: `scope`, `model`, `chatbot`, `subject`, `cost`, `reserveCents`, `reserveTokens`, `reservationTtlSeconds`.',
    schema: { type: 'string', example: 'scope=chat:write&cost=1' },
  });

/**
 * What Envoy asks. It appends the path and the query of its client to `path_prefix`, so that nothing in the URL is the
 * gateway's word; the gateway's settings come in a header that Envoy sets, overriding whatever its client sent.
 */
@ApiTags('Gateways')
@Controller('ext-authz')
export class ExtAuthzController {
  constructor(private readonly door: ForwardAuthService) {}

  @All()
  @GatewayOperation()
  @AskedByHeader()
  @ApiOperation({
    summary: 'May this request pass? (Envoy)',
    description:
      'For Envoy’s `ext_authz` over HTTP, by any method. 200 is yes, all else is no. As forward-auth, but for the settings: path and query are the client’s and mean nothing here, so they come in `X-Latchkey-Ask`, which Envoy must set (`headers_to_add`).',
  })
  decide(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.door.handle(request, reply, askOf(parse(askText(request))), 'plain');
  }

  @All('*')
  @GatewayOperation()
  @AskedByHeader()
  @ApiParam({
    name: 'path',
    description: 'The path that Envoy’s client asked for, of any depth; its query may follow.',
    schema: { type: 'string' },
  })
  @ApiOperation({
    summary: 'May this request pass? (Envoy, with its client’s path)',
    description: 'The same with what Envoy appends to `path_prefix`.',
  })
  decideForPath(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.decide(request, reply);
  }
}

/** @throws DomainError 400 when the header came twice: one of them would be the client's */
function askText({ raw }: FastifyRequest): string {
  const texts = raw.headersDistinct[ASK_HEADER] ?? [];
  if (texts.length > 1) throw validationFailed([{ path: 'X-Latchkey-Ask', message: 'must not be given twice' }]);
  return texts[0] ?? '';
}
