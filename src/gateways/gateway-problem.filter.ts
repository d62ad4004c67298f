import { type ArgumentsHost, Catch, Injectable } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { AuditedRefusals } from '../audit/audited-refusals.js';
import { ProblemFilter, domainErrorOf } from '../common/problem.filter.js';

/** As everywhere, and the code in a header: gateways read no bodies. */
@Injectable()
@Catch()
export class GatewayProblemFilter extends ProblemFilter {
  constructor(refusals: AuditedRefusals) {
    super(refusals);
  }

  override catch(thrown: unknown, host: ArgumentsHost): Promise<void> {
    void host
      .switchToHttp()
      .getResponse<FastifyReply>()
      .header('X-Latchkey-Code', domainErrorOf(thrown)?.code ?? 'INTERNAL_ERROR');
    return super.catch(thrown, host);
  }
}
