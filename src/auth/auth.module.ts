import { Global, Module } from '@nestjs/common';
import { PassportModule } from '@nestjs/passport';
import { Authenticator } from '../access/authenticator.js';
import { UsersModule } from '../users/users.module.js';
import { AuthController } from './auth.controller.js';
import { AuthService } from './auth.service.js';
import { CredentialsAuthenticator } from './credentials.authenticator.js';
import { SessionTokens } from './session-tokens.js';
import { SessionStrategy } from './session.strategy.js';
import { SessionsRepository } from './sessions.repository.js';

/** Sign-in, sessions, and the credentials of every request. */
@Global()
@Module({
  imports: [PassportModule, UsersModule],
  controllers: [AuthController],
  providers: [AuthService, SessionTokens, SessionsRepository, SessionStrategy, { provide: Authenticator, useClass: CredentialsAuthenticator }],
  exports: [Authenticator, SessionsRepository],
})
export class AuthModule {}
