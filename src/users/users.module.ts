import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { Accounts } from './accounts.service.js';
import { Identities } from './identities.service.js';
import { OffBoarding } from './off-boarding.service.js';
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
import { UserAdmission } from './user-admission.js';
import { UserEndings } from './user-endings.service.js';
import { UsersController } from './users.controller.js';
import { UsersRepository } from './users.repository.js';
import { UsersService } from './users.service.js';

/** What a second factor is made of; nothing else of it is known outside of its folder. */
const secondFactor = [SecondFactors, SecondFactorCheck, SecondFactorReset, SecondFactorResealing, SecondFactorRepository, EnrolmentDuty, OwnPassword];

/** People and service accounts: who they are, what they may do, how they prove it. */
@Module({
  imports: [ApiKeysModule],
  controllers: [UsersController, SecondFactorController],
  providers: [UsersService, Passwords, OffBoarding, Accounts, Identities, Sessions, UserAdmission, UserEndings, PasswordThrottle, UsersRepository, ...secondFactor],
  exports: [Accounts, Identities, Sessions, PasswordThrottle, UserEndings, EnrolmentDuty],
})
export class UsersModule {}
