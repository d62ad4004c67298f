import { IsString, Length } from 'class-validator';
import { RESERVATION_ID } from '../common/grammars/reservation-id.js';

/** Which reservation to drop. */
export class ReleaseReservationDto {
  /**
   * `reservation.id` of the verify.
   * @example "AQABogBWoV14ZrsbFG0zP5e9AaIAVqM"
   */
  @IsString()
  @Length(RESERVATION_ID.minLength, RESERVATION_ID.maxLength)
  reservationId: string;
}
