import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { Accounts } from './accounts.service.js';
import { AccountNoticesRepository } from './account-notices.repository.js';
import { AccountNotices } from './account-notices.service.js';
import { Identities } from './identities.service.js';
import { OffBoarding } from './off-boarding.service.js';
import { PasswordRules } from './password-rules.js';
import { PasswordThrottle } from './password-throttle.js';
import { Passwords } from './passwords.service.js';
import { Sessions } from './sessions.service.js';
import { SignInCountsRepository } from './sign-in-counts.repository.js';
import { SignInExchange } from './sign-in-exchange.js';
import { SignInFailures } from './sign-in-failures.js';
import { UserAdmission } from './user-admission.js';
import { UserEndings } from './user-endings.service.js';
import { UsersController } from './users.controller.js';
import { UsersRepository } from './users.repository.js';
import { UsersService } from './users.service.js';

/** People and service accounts: who they are, what they may do, how they prove it. */
@Module({
  imports: [ApiKeysModule],
  controllers: [UsersController],
  providers: [
    UsersService,
    Passwords,
    OffBoarding,
    Accounts,
    AccountNotices,
    AccountNoticesRepository,
    Identities,
    Sessions,
    UserAdmission,
    UserEndings,
    PasswordRules,
    PasswordThrottle,
    SignInCountsRepository,
    SignInExchange,
    SignInFailures,
    UsersRepository,
  ],
  exports: [Accounts, AccountNotices, Identities, Sessions, PasswordThrottle, SignInFailures, UserEndings],
})
export class UsersModule {}
