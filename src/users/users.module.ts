import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { Accounts } from './accounts.service.js';
import { Identities } from './identities.service.js';
import { OffBoarding } from './off-boarding.service.js';
import { PasswordThrottle } from './password-throttle.js';
import { Passwords } from './passwords.service.js';
import { Sessions } from './sessions.service.js';
import { UserAdmission } from './user-admission.js';
import { UserEndings } from './user-endings.service.js';
import { UserSessions } from './user-sessions.service.js';
import { UsersController } from './users.controller.js';
import { UsersRepository } from './users.repository.js';
import { UsersService } from './users.service.js';

/** People and service accounts: who they are, what they may do, how they prove it. */
@Module({
  imports: [ApiKeysModule],
  controllers: [UsersController],
  providers: [UsersService, Passwords, OffBoarding, Accounts, Identities, Sessions, UserSessions, UserAdmission, UserEndings, PasswordThrottle, UsersRepository],
  exports: [Accounts, Identities, Sessions, UserSessions, PasswordThrottle, UserEndings],
})
export class UsersModule {}
