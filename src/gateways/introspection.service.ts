import { Injectable } from '@nestjs/common';
import type { VerifiesEnvironment } from '../api-keys/api-key.entity.js';
import { SessionInspector } from '../auth/session-inspector.js';
import { Config } from '../config/config.js';
import { KeyInspector } from '../verification/key-inspector.js';
import { IntrospectionView } from './introspection.view.js';

/** A JWT has two dots. Keys of other systems may look like one, so that keys are asked about as well. */
const JWT_SHAPE = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** Answers for keys and for our own session tokens; of an identity provider's tokens its own endpoint knows more. */
@Injectable()
export class Introspection {
  constructor(
    private readonly keys: KeyInspector,
    private readonly sessions: SessionInspector,
    private readonly config: Config,
  ) {}

  /** Consumes nothing, and leaves no trace on what is asked about. @throws DomainError 503 when it cannot be known */
  async introspect(token: string, verifies: VerifiesEnvironment): Promise<IntrospectionView> {
    const { jwtIssuer, jwtAudience } = this.config;
    const session = JWT_SHAPE.test(token) ? await this.sessions.findWorking(token) : null;
    if (session !== null) return IntrospectionView.ofSession(session, jwtIssuer, jwtAudience);
    const record = await this.keys.findWorking(token);
    // A key that the asking service does not verify is no good to it.
    const isOther = record !== null && verifies !== 'any' && verifies !== record.key.environment;
    return record === null || isOther ? IntrospectionView.inactive() : IntrospectionView.ofKey(record, jwtIssuer);
  }
}
