import { Global, Module } from '@nestjs/common';
import { Config } from '../config/config.js';
import { LimitAccounts } from './limits/limit-accounts.js';
import { Quotas } from './quotas.service.js';
import { ReservationSigner } from './reservation.js';

/** Budgets and rate windows: exact over any number of replicas. */
@Global()
@Module({
  providers: [
    Quotas,
    LimitAccounts,
    {
      provide: ReservationSigner,
      useFactory: (config: Config) => new ReservationSigner(config.reservationKeys),
      inject: [Config],
    },
  ],
  exports: [Quotas, LimitAccounts, ReservationSigner],
})
export class QuotasModule {}
