import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { KeyAuthenticator, type ProvenSecret } from '../access/authenticator.js';
import { Principal } from '../access/caller.js';
import { Clock } from '../common/clock.js';
import { Config } from '../config/config.js';
import { decide } from './checks.js';
import { SecretProver } from './secret-prover.js';

/**
 * A service that calls us with a key of its own. The key's status, owner and address list are enforced; its
 * models, chatbots, windows and budget concern the platform's services, not us.
 */
@Injectable()
export class ServiceKeyAuthenticator extends KeyAuthenticator {
  constructor(
    private readonly prover: SecretProver,
    private readonly clock: Clock,
    private readonly config: Config,
  ) {
    super();
  }

  presentedKey(request: FastifyRequest): string | null {
    const header = request.headers['x-api-key'];
    if (typeof header === 'string') return header;
    const bearer = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    // A JWT has two dots; a key has none.
    return bearer !== undefined && (bearer.startsWith(`${this.config.apiKeyPrefix}_`) || !/^[^.]+\.[^.]+\.[^.]*$/.test(bearer)) ? bearer : null;
  }

  async prove(presented: string): Promise<ProvenSecret | null> {
    const proof = await this.prover.prove(presented);
    return 'record' in proof ? { keyId: proof.record.keyId, kid: proof.record.kid } : null;
  }

  async authenticateKey(presented: string, ip: string): Promise<Principal | null> {
    const proof = await this.prover.prove(presented);
    if (!('record' in proof)) return null;
    const { record } = proof;
    const asCaller = { ...record, allowedModels: [], allowedChatbots: [] };
    if (decide(asCaller, { ip }, this.clock.now()) !== null) return null;
    return new Principal('key', record.keyId, record.ownerId, record.name, record.roles, record.grants);
  }
}
