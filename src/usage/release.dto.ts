import { RESERVATION_ID } from '../../packages/contract/src/grammar.js';
import { Field, required } from '../common/field.js';

/** Which reservation to drop. */
export class ReleaseReservationDto {
  /**
   * `reservation.id` of the verify.
   * @example "AQABogBWoV14ZrsbFG0zP5e9AaIAVqM"
   */
  @Field(required(RESERVATION_ID))
  reservationId: string;
}
