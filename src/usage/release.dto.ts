import { IsString, Length } from 'class-validator';

/** Which reservation to drop. */
export class ReleaseReservationDto {
  /** `reservation.id` of the verify. */
  @IsString()
  @Length(1, 512)
  reservationId: string;
}
