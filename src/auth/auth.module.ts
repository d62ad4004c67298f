import { Global, Module } from '@nestjs/common';
import { PassportModule } from '@nestjs/passport';
import { Authenticator } from '../access/authenticator.js';
import { GrantsReader } from '../access/grants.reader.js';
import { Clock } from '../common/clock.js';
import { Config } from '../config/config.js';
import { Identities } from '../users/identities.service.js';
import { UsersModule } from '../users/users.module.js';
import { AuthController } from './auth.controller.js';
import { AuthService } from './auth.service.js';
import { CredentialsAuthenticator } from './credentials.authenticator.js';
import { OidcKeys } from './oidc-keys.js';
import { OidcStrategy } from './oidc.strategy.js';
import { SessionInspector } from './session-inspector.js';
import { SessionTokens } from './session-tokens.js';
import { SessionStrategy } from './session.strategy.js';

/** Without an identity provider there is no strategy for its tokens. */
const oidcStrategy = {
  provide: OidcStrategy,
  inject: [Config, Clock, Identities, GrantsReader],
  useFactory: ({ oidc }: Config, clock: Clock, identities: Identities, grants: GrantsReader) =>
    oidc && new OidcStrategy(oidc, new OidcKeys(oidc.jwksUri, clock), identities, grants),
};

/** Sign-in, sessions, and the credentials of every request. */
@Global()
@Module({
  imports: [PassportModule, UsersModule],
  controllers: [AuthController],
  providers: [AuthService, SessionTokens, SessionStrategy, SessionInspector, oidcStrategy, { provide: Authenticator, useClass: CredentialsAuthenticator }],
  exports: [Authenticator, SessionInspector],
})
export class AuthModule {}
