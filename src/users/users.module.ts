import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { Accounts } from './accounts.service.js';
import { AccountNoticesRepository } from './account-notices.repository.js';
import { AccountNotices } from './account-notices.service.js';
import { Identities } from './identities.service.js';
import { Erasure } from './erasure.service.js';
import { OffBoarding } from './off-boarding.service.js';
import { PasswordRules } from './password-rules.js';
import { PasswordThrottle } from './password-throttle.js';
import { Passwords } from './passwords.service.js';
import { EnrolmentDuty } from './second-factor/enrolment-duty.js';
import { OwnPassword } from './second-factor/own-password.js';
import { SecondFactorCheck } from './second-factor/second-factor-check.js';
import { SecondFactorReset } from './second-factor/second-factor-reset.service.js';
import { SecondFactorResealing } from './second-factor/second-factor-resealing.js';
import { SecondFactorController } from './second-factor/second-factor.controller.js';
import { SecondFactorRepository } from './second-factor/second-factor.repository.js';
import { SecondFactors } from './second-factor/second-factors.service.js';
import { Sessions } from './sessions.service.js';
import { SignInCountsRepository } from './sign-in-counts.repository.js';
import { SignInExchange } from './sign-in-exchange.js';
import { SignInFailures } from './sign-in-failures.js';
import { UserChangeRules } from './user-change-rules.js';
import { UserEndings } from './user-endings.service.js';
import { UserSessions } from './user-sessions.service.js';
import { UsersController } from './users.controller.js';
import { UsersRepository } from './users.repository.js';
import { UsersService } from './users.service.js';

/** What a second factor is made of; nothing else of it is known outside of its folder. */
const secondFactor = [
  SecondFactors,
  SecondFactorCheck,
  SecondFactorReset,
  SecondFactorResealing,
  SecondFactorRepository,
  EnrolmentDuty,
  OwnPassword,
];

/** People and service accounts: who they are, what they may do, how they prove it. */
@Module({
  imports: [ApiKeysModule],
  controllers: [UsersController, SecondFactorController],
  providers: [
    UsersService,
    Passwords,
    OffBoarding,
    Erasure,
    Accounts,
    AccountNotices,
    AccountNoticesRepository,
    Identities,
    Sessions,
    UserSessions,
    UserChangeRules,
    UserEndings,
    PasswordRules,
    PasswordThrottle,
    SignInCountsRepository,
    SignInExchange,
    SignInFailures,
    UsersRepository,
    ...secondFactor,
  ],
  exports: [
    Accounts,
    AccountNotices,
    Identities,
    Sessions,
    UserSessions,
    PasswordThrottle,
    SignInFailures,
    UserChangeRules,
    UserEndings,
    EnrolmentDuty,
  ],
})
export class UsersModule {}
