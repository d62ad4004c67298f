import { IsString, Length } from 'class-validator';

/** Which reservation to drop. */
export class ReleaseReservationDto {
  /**
   * `reservation.id` of the verify.
   * @example "AQABogBWoV14ZrsbFG0zP5e9AaIAVqM"
   */
  @IsString()
  @Length(1, 512)
  reservationId: string;
}
