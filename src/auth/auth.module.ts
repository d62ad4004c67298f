import { Global, Module } from '@nestjs/common';
import { PassportModule } from '@nestjs/passport';
import { Authenticator } from '../access/authenticator.js';
import { GrantsReader } from '../access/grants.reader.js';
import { Clock } from '../common/clock.js';
import { Config } from '../config/config.js';
import { Identities } from '../users/identities.service.js';
import { InstallationModule } from '../installation/installation.module.js';
import { ProjectsModule } from '../projects/projects.module.js';
import { UsersModule } from '../users/users.module.js';
import { AuthController } from './auth.controller.js';
import { AuthService } from './auth.service.js';
import { DeviceCookie } from './device-cookie.js';
import { NoticesController } from './notices.controller.js';
import { CredentialsAuthenticator } from './credentials.authenticator.js';
import { OwnKeyReader } from './own-key.reader.js';
import { OidcKeys } from './oidc/oidc-keys.js';
import { OidcProvider } from './oidc/oidc-provider.js';
import { OidcSignIn } from './oidc/oidc-sign-in.service.js';
import { OidcController } from './oidc/oidc.controller.js';
import { OidcStrategy } from './oidc/oidc.strategy.js';
import { RefusedTokens } from './oidc/refused-tokens.js';
import { SignInAttempts } from './oidc/sign-in-attempts.js';
import { ReplacedSession } from './replaced-session.js';
import { SessionCookie } from './session-cookie.js';
import { SessionInspector } from './session-inspector.js';
import { SessionTokens } from './session-tokens.js';
import { SessionsController } from './sessions.controller.js';
import { SessionStrategy } from './session.strategy.js';

/**
 * What there is of an identity provider: nothing without one, and its keys alone where nobody signs in with it here.
 */
const identityProvider = [
  {
    provide: OidcKeys,
    inject: [Config, Clock],
    useFactory: ({ oidc }: Config, clock: Clock) => oidc && new OidcKeys(oidc.jwksUri, clock),
  },
  {
    provide: OidcStrategy,
    inject: [Config, OidcKeys, Identities, GrantsReader, Clock, RefusedTokens],
    useFactory: (
      { oidc }: Config,
      keys: OidcKeys | null,
      identities: Identities,
      grants: GrantsReader,
      clock: Clock,
      refused: RefusedTokens,
    ) => oidc && keys && new OidcStrategy(oidc, keys, identities, grants, clock, refused),
  },
  {
    provide: OidcProvider,
    inject: [Config, Clock],
    useFactory: ({ oidc, publicUrl }: Config, clock: Clock) =>
      oidc?.client ? new OidcProvider(oidc, oidc.client, `${publicUrl}/api/v1/auth/oidc/callback`, clock) : null,
  },
];

/** Sign-in, sessions, and the credentials of every request. */
@Global()
@Module({
  imports: [PassportModule, InstallationModule, ProjectsModule, UsersModule],
  controllers: [AuthController, NoticesController, OidcController, SessionsController],
  providers: [
    AuthService,
    OwnKeyReader,
    SessionTokens,
    SessionCookie,
    DeviceCookie,
    SessionStrategy,
    SessionInspector,
    ReplacedSession,
    SignInAttempts,
    OidcSignIn,
    RefusedTokens,
    ...identityProvider,
    { provide: Authenticator, useClass: CredentialsAuthenticator },
  ],
  exports: [Authenticator, SessionCookie, SessionInspector],
})
export class AuthModule {}
