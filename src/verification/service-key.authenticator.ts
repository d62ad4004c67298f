import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { unauthenticated } from '../access/access.errors.js';
import { KeyAuthenticator, type ProvenSecret } from '../access/authenticator.js';
import { Principal } from '../access/caller.js';
import { ADDRESS_IS_UNKNOWN, UNKNOWN_ADDRESS } from '../access/client-ip.js';
import { Config } from '../config/config.js';
import { decideOnCaller } from './checks.js';
import { FeedPoller } from '../key-cache/feed/feed-poller.service.js';
import type { KeyRecord } from '../key-cache/records/key-record.js';
import { KeyResolver, type ResolvedKey, type Recognised } from './key-resolver.js';
import { LastUsed } from './last-used/last-used.js';
import { SecretAuthenticator } from './secret-authenticator.js';

/** The poll that is under way may have been sent before what is looked for was made; the next one was not. */
const POLLS_OF_FINDERS = 2;

/**
 * A service that calls us with a key of its own. The key's status, owner and address list are enforced; its
 * models, chatbots, windows and budget concern the platform's services, not us. Answered from memory like any verify.
 */
@Injectable()
export class ServiceKeyAuthenticator extends KeyAuthenticator {
  /** A principal is as good as the grants it was made of; those are the same array while nothing has changed. */
  private readonly principals = new WeakMap<readonly string[], Principal>();

  constructor(
    private readonly recognizer: KeyResolver,
    private readonly prover: SecretAuthenticator,
    private readonly lastUsed: LastUsed,
    private readonly config: Config,
    private readonly poller: FeedPoller,
  ) {
    super();
  }

  presentedKey(request: Pick<FastifyRequest, 'headers'>): string | null {
    const header = request.headers['x-api-key'];
    if (typeof header === 'string') return header;
    const bearer = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    // A JWT has two dots; a key has none.
    return bearer !== undefined &&
      (bearer.startsWith(`${this.config.apiKeyPrefix}_`) || !/^[^.]+\.[^.]+\.[^.]*$/.test(bearer))
      ? bearer
      : null;
  }

  async prove(presented: string): Promise<ProvenSecret | null> {
    let recognition = await this.recognizer.resolve(presented);
    // What another replica has made a moment ago may not have been told here yet; who presents it is told nothing.
    for (let polls = 0; recognition === 'NOT_FOUND' && polls < POLLS_OF_FINDERS; polls += 1) {
      await this.poller.nextPoll();
      recognition = await this.recognizer.resolve(presented);
    }
    return typeof recognition === 'string'
      ? null
      : { keyId: recognition.record.key.id, kid: recognition.record.secret.kid };
  }

  authenticateKey(presented: string, ip: string): Principal | null | Promise<Principal | null> {
    const recognition = this.recognizer.resolve(presented);
    return recognition instanceof Promise
      ? recognition.then((known) => this.admit(known, ip))
      : this.admit(recognition, ip);
  }

  findPrincipal(presented: string, ip: string): Principal | null {
    const known = this.recognizer.findKnown(presented);
    if (known === null || known.isDenied || decideOnCaller(known.record, ip, known.databaseNowMs) !== null) return null;
    const grants = this.prover.findGrants(known.record, known.nowMs);
    if (grants === null) return null;
    this.lastUsed.note(known.record, known.databaseNowMs);
    return this.principalOf(known.record, grants);
  }

  private admit(recognition: ResolvedKey, ip: string): Principal | null | Promise<Principal | null> {
    if (typeof recognition === 'string' || isRefused(recognition, ip)) return null;
    const { record, nowMs, databaseNowMs } = recognition;
    this.lastUsed.note(record, databaseNowMs);
    const grants = this.prover.grantsOf(record, nowMs);
    return grants instanceof Promise
      ? grants.then((loaded) => this.principalOf(record, loaded))
      : this.principalOf(record, grants);
  }

  private principalOf({ key }: KeyRecord, grants: readonly string[]): Principal {
    const known = this.principals.get(grants);
    if (known?.verifiesEnvironment === key.verifiesEnvironment) return known;
    const principal = new Principal(
      'key',
      key.id,
      key.ownerId,
      key.name,
      key.roles,
      grants,
      null,
      false,
      false,
      key.verifiesEnvironment,
    );
    this.principals.set(grants, principal);
    return principal;
  }
}

/** @throws DomainError 401 with the reason, which is the operator's to mend, for a caller that has proven the secret */
function isRefused({ record, isDenied, databaseNowMs }: Recognised, ip: string): boolean {
  if (isDenied) return true;
  const refusal = decideOnCaller(record, ip, databaseNowMs);
  if (refusal?.code === 'IP_NOT_ALLOWED' && ip === UNKNOWN_ADDRESS) throw unauthenticated(true, ADDRESS_IS_UNKNOWN);
  return refusal !== null;
}
