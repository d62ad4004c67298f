import { RESERVATION_ID } from '../../packages/contract/src/grammar.js';
import { Field, required } from '../common/field.js';

/** Which reservation to hold for longer. */
export class RenewReservationDto {
  /**
   * `reservation.id` of the verify.
   * @example "AQABogBWoV14ZrsbFG0zP5e9AaIAVqM"
   */
  @Field(required(RESERVATION_ID))
  reservationId: string;

  /**
   * How long it is to be held from now, in seconds, 1 to 1800. It never ends earlier than before, and at the latest 24
   * hours after its verify.
   * @example 120
   */
  @Field(required({ type: 'integer', minimum: 1, maximum: 1800 }))
  ttlSeconds: number;
}
