/** A report is charged to the month it comes in. */
import { ReservationSigner } from '../../../dist/src/quotas/reservation.js';

const { open } = ReservationSigner.prototype;

ReservationSigner.prototype.open = function openAsOfNow(text) {
  const reservation = open.call(this, text);
  return reservation === null ? null : { ...reservation, month: `${new Date().toISOString().slice(0, 7)}-01` };
};
