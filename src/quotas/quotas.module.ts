import { Global, Module } from '@nestjs/common';
import { Config } from '../config/config.js';
import { Quotas } from './quotas.service.js';
import { ReservationSigner } from './reservation.js';

/** Budgets and rate windows: exact over any number of replicas. */
@Global()
@Module({
  providers: [
    Quotas,
    {
      provide: ReservationSigner,
      useFactory: (config: Config) => new ReservationSigner(config.reservationKeys),
      inject: [Config],
    },
  ],
  exports: [Quotas, ReservationSigner],
})
export class QuotasModule {}
